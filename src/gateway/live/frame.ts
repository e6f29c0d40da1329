/**
 * One event of the live streams, encoded once for all clients that get it: as Server-Sent Events have it, and as the JSON
 * text of a WebSocket's frame. A device's message goes in as its bytes; nothing of it is parsed but where its time stands.
 */

export type LiveEvent =
  "ready" | "update" | "presence" | "conflated" | "gap" | "end";

export interface Frame {
  readonly event: LiveEvent;
  /** Reading's time as the message has it; null for what a stream cannot go on from. */
  readonly id: string | null;
  /** For a client that is behind, a later frame of this name takes the place of an earlier one; null: never. */
  readonly key: string | null;
  /** JSON. */
  readonly data: Buffer;
  sse: Buffer | null;
  json: Buffer | null;
}

function createFrame(
  event: LiveEvent,
  data: Buffer,
  { id = null, key = null }: { id?: string | null; key?: string | null } = {},
): Frame {
  return { event, id, key, data, sse: null, json: null };
}

/** One that we say ourselves. */
export const said = (event: LiveEvent, data: object): Frame =>
  createFrame(event, Buffer.from(JSON.stringify(data)));

export function updateFrame(address: string, message: Buffer): Frame {
  return createFrame("update", message, {
    id: timeOf(message),
    key: address,
  });
}

export const presenceFrame = (address: string, message: Buffer): Frame =>
  createFrame("presence", message, { key: `presence ${address}` });

const TIMESTAMP = Buffer.from(`,"timestamp":`);
const COMMA = 0x2c;
const CLOSE = 0x7d;

/**
 * The text of a full message's `timestamp`, Unix seconds. It stands behind the payload, and what follows it are names
 * without quotes or commas, so the last place that looks like it is the one.
 */
export function timeOf(message: Buffer): string | null {
  const at = message.lastIndexOf(TIMESTAMP);
  if (at === -1) return null;
  const start = at + TIMESTAMP.length;
  let end = start;
  while (
    end < message.length &&
    message[end] !== COMMA &&
    message[end] !== CLOSE
  )
    end++;
  return message.toString("latin1", start, end);
}

/** With the empty line that ends it. */
export function sseOf(frame: Frame): Buffer {
  frame.sse ??= Buffer.concat([
    Buffer.from(
      `${frame.id === null ? "" : `id: ${frame.id}\n`}event: ${frame.event}\ndata: `,
    ),
    oneLineEach(frame.data),
    Buffer.from("\n\n"),
  ]);
  return frame.sse;
}

export function jsonOf(frame: Frame): Buffer {
  frame.json ??= Buffer.concat([
    Buffer.from(
      `{"type":"${frame.event}",${frame.id === null ? "" : `"id":"${frame.id}",`}"message":`,
    ),
    frame.data,
    Buffer.from("}"),
  ]);
  return frame.json;
}

/** A device may write its JSON over several lines; each becomes a data line, and the client joins them again. */
function oneLineEach(data: Buffer): Buffer {
  if (!data.includes(10) && !data.includes(13)) return data;
  return Buffer.from(data.toString().replaceAll(/\r\n|\r|\n/g, "\ndata: "));
}

/** What goes to a client in one write, put together once for all that get the same. */
export interface Batch {
  readonly frames: readonly Frame[];
  readonly bytes: number;
  sse: Buffer | null;
}

/** Rough: what the event's name and id add. */
const HEAD_BYTES = 64;

export const sizeOf = (frame: Frame): number => frame.data.length + HEAD_BYTES;

export function batchOf(frames: readonly Frame[]): Batch {
  let bytes = 0;
  for (const frame of frames) bytes += sizeOf(frame);
  return { frames, bytes, sse: null };
}

export function sseOfBatch(batch: Batch): Buffer {
  batch.sse ??=
    batch.frames.length === 1
      ? sseOf(batch.frames[0]!)
      : Buffer.concat(batch.frames.map(sseOf));
  return batch.sse;
}
