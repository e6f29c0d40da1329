/**
 * The bridge: MQTT messages onto the log, told "received" only once the log has them.
 *
 * Messages gather in arrival order; one append is under way at a time, so that neither a retry nor a second request can
 * reorder a device. When it is acknowledged its messages' PUBACKs go out, in the same order. What the bridge holds (gathered
 * and under way) is bounded in messages and bytes: at the bound the source is held, and TCP and the broker's receive maximum
 * carry that back to the devices. While the log is away the same records are tried again, for as long as it takes.
 *
 * A probe of our own that comes back among the messages (see bridge-beat.ts) makes no record: once everything before it is on
 * the log, the beat is told of it.
 *
 * A message alone after a quiet time goes at once, with whatever arrived in the same read; otherwise an append begins when
 * the one before has ended and at least `lingerMs` after its begin, sooner when there is a full one or the window is full.
 */
import { TwinstreamError, reasonOf } from "../errors.js";
import type {
  Clock,
  InboundPacket,
  LogWriter,
  Observer,
  OutgoingRecord,
  PacketSource,
  Tracer,
} from "../ports.js";
import { toRecord } from "./bridge-record.js";
import { traceAppend } from "./bridge-trace.js";
import { type Backoff, PATIENT, retryDelays, waitOr } from "./retry.js";

export interface BridgeParts {
  readonly source: PacketSource;
  readonly log: LogWriter;
  readonly observer: Observer;
  readonly clock: Clock;
  /** Told the text of a probe once everything that came before it is on the log. */
  readonly probed?: (text: string) => void;
  /** Where traces are wanted. */
  readonly tracer?: Tracer | undefined;
}

export interface BridgeSettings {
  /** Topic of the log. */
  readonly topic: string;
  /** In every record's headers; with the packet id it tells a redelivered message. */
  readonly bridgeId: string;
  /** MQTT_TENANT_PREFIX. */
  readonly prefix: string;
  /** Messages and bytes (payload and topic) held at most; one message may pass the bytes. */
  readonly window: number;
  readonly windowBytes: number;
  readonly lingerMs: number;
  readonly backoff?: Backoff;
}

export interface Bridge {
  /** Resolves once subscribed. */
  start(): Promise<void>;
  /**
   * Takes no more, waits until what is held is on the log and acknowledged or the deadline has passed, and leaves the
   * session with the broker, which keeps what was not acknowledged. Answers how many messages were left to it.
   */
  stop(withinMs: number): Promise<number>;
}

/**
 * What one append carries at most, a larger message alone. Just what the log's writer puts into one request (900 KiB, 2,000
 * records): more would travel as a large request and a small one behind it, each waited for.
 */
export const APPEND_BYTES = 900_000;
export const APPEND_RECORDS = 2000;
/** Key, headers and framing of a record, roughly: many tiny messages are a large request too. */
const RECORD_OVERHEAD_BYTES = 140;

interface Batch {
  readonly packets: readonly InboundPacket[];
  /** Those that become records, and these: all but probes. */
  readonly messages: readonly InboundPacket[];
  readonly records: OutgoingRecord[];
  /** Of the records' values. */
  readonly bytes: number;
}

export function createBridge(
  { source, log, observer, clock, probed, tracer }: BridgeParts,
  settings: BridgeSettings,
): Bridge {
  /** Arrived, in order, not yet in an append. */
  let gathered: InboundPacket[] = [];
  let gatheredBytes = 0;
  /** Gathered and under way. */
  let windowMessages = 0;
  let windowBytes = 0;
  let holding = false;
  let appending = false;
  let appendBeganMs = Number.NEGATIVE_INFINITY;
  let lingering: NodeJS.Timeout | null = null;
  let planned: NodeJS.Immediate | null = null;
  let stopping = false;
  let drained: () => void = () => undefined;
  const abort = new AbortController();

  function take(packet: InboundPacket): void {
    gathered.push(packet);
    gatheredBytes += weight(packet);
    windowMessages += 1;
    windowBytes += weight(packet);
    hold();
    plan();
  }

  function hold(): void {
    if (holding || !isFull()) return;
    holding = true;
    source.hold();
    reportWindow();
  }

  function release(): void {
    if (!holding || stopping || isFull()) return;
    holding = false;
    source.release();
  }

  function isFull(): boolean {
    return (
      windowMessages >= settings.window || windowBytes >= settings.windowBytes
    );
  }

  /** Sees to it that the next append begins when it should; called for every message, so it decides quickly. */
  function plan(): void {
    if (appending || planned !== null || gathered.length === 0) return;
    const atOnce =
      holding ||
      stopping ||
      gatheredBytes >= APPEND_BYTES ||
      gathered.length >= APPEND_RECORDS;
    if (!atOnce && lingering !== null) return;
    // At most lingerMs, should the clock have been set back.
    const waitMs = Math.min(
      settings.lingerMs,
      appendBeganMs + settings.lingerMs - clock(),
    );
    if (!atOnce && waitMs > 0) {
      lingering = setTimeout(begin, waitMs);
      return;
    }
    // After what else this read of the socket brings.
    planned = setImmediate(begin);
  }

  function begin(): void {
    clearTimeout(lingering ?? undefined);
    clearImmediate(planned ?? undefined);
    lingering = null;
    planned = null;
    // Rejects only on a fault of this code, which is to end the process: nothing is lost by that.
    void append(nextBatch());
  }

  function nextBatch(): Batch {
    const messages: InboundPacket[] = [];
    const records: OutgoingRecord[] = [];
    let bytes = 0;
    let taken = 0;
    for (const packet of gathered) {
      if (packet.probe) {
        taken += 1;
        continue;
      }
      const expected = packet.payload.length + RECORD_OVERHEAD_BYTES;
      if (records.length === APPEND_RECORDS) break;
      if (records.length > 0 && bytes + expected > APPEND_BYTES) break;
      const record = toRecord(packet, settings);
      messages.push(packet);
      records.push(record);
      taken += 1;
      bytes += (record.value?.length ?? 0) + RECORD_OVERHEAD_BYTES;
    }
    const packets = gathered.splice(0, taken);
    for (const packet of packets) gatheredBytes -= weight(packet);
    return { packets, messages, records, bytes };
  }

  async function append(batch: Batch): Promise<void> {
    const { packets, messages, records, bytes } = batch;
    appending = true;
    appendBeganMs = clock();
    const span = tracer && traceAppend(tracer, messages, records);
    const stored =
      records.length === 0 || (await untilStored(messages, records));
    appending = false;
    span?.end(stored ? undefined : "stopped before the log had it");
    if (!stored) return;
    source.acknowledge(packets);
    if (packets.length > messages.length)
      probed?.(packets.findLast(({ probe }) => probe)!.payload.toString());
    windowMessages -= packets.length;
    for (const packet of packets) windowBytes -= weight(packet);
    if (records.length > 0)
      observer.emit({
        type: "bridge_batch",
        messages: messages.length,
        bytes,
        seconds: (clock() - appendBeganMs) / 1000,
      });
    release();
    reportWindow();
    if (windowMessages === 0) drained();
    plan();
  }

  /** Answers false when the bridge was stopped before the log had them all. */
  async function untilStored(
    packets: readonly InboundPacket[],
    all: readonly OutgoingRecord[],
  ): Promise<boolean> {
    const delays = retryDelays(settings.backoff ?? PATIENT);
    const records = [...all];
    let done = 0;
    let lastCut = -1;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await log.append(
          settings.topic,
          done === 0 ? records : records.slice(done),
        );
        return true;
      } catch (error) {
        const refused = refusedAt(error);
        if (refused !== null && done + refused > lastCut) {
          done += refused;
          lastCut = done;
          const { headers } = records[done]!;
          records[done] = {
            ...toRecord(packets[done]!, settings, 0),
            ...(headers && { headers }),
          };
          continue;
        }
        const delayMs = delays.next().value;
        observer.emit({
          type: "bridge_waiting",
          error: reasonOf(error),
          attempt,
          delayMs,
        });
        if (!(await waitOr(abort.signal, delayMs))) return false;
      }
    }
  }

  function reportWindow(): void {
    observer.emit({
      type: "bridge_window",
      messages: windowMessages,
      bytes: windowBytes,
      held: holding,
    });
  }

  async function stop(withinMs: number): Promise<number> {
    stopping = true;
    holding = true;
    source.hold();
    if (windowMessages > 0) {
      const empty = new Promise<void>((resolve) => (drained = resolve));
      plan();
      await Promise.race([empty, waitOr(abort.signal, withinMs)]);
    }
    abort.abort();
    await source.stop();
    return windowMessages;
  }

  return { start: () => source.start(take), stop };
}

function weight(packet: InboundPacket): number {
  return packet.payload.length + packet.topic.length;
}

/**
 * Which record of an append the topic is too small for (it takes less than the envelopes' bound: made by hand, or a broker's
 * default); those before it are stored. Null for any other failure.
 */
function refusedAt(error: unknown): number | null {
  if (!(error instanceof TwinstreamError) || error.code !== "TOO_LARGE")
    return null;
  const { index } = (error.cause ?? {}) as { index?: unknown };
  return typeof index === "number" ? index : null;
}
