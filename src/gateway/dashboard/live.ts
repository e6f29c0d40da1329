/**
 * The live stream: messages and changes of presence as they happen. Read by fetch rather than EventSource, which can send no
 * token, would put a ticket into addresses, and could not go on from the last event with a new one. What comes is handed over
 * once a frame, however much it is.
 */
import { signal } from "@preact/signals";
import { API } from "./http.js";
import type { FullMessage } from "./answers.js";
import { createEventReader, type StreamEvent } from "./event-stream.js";
import { accessToken } from "./session.js";

export interface PresenceNews {
  readonly device_id: string;
  readonly online: boolean;
  readonly cause: string | null;
}

export interface LiveNews {
  readonly updates: readonly FullMessage[];
  readonly presence: readonly PresenceNews[];
  /** Messages of a while may be missing from the stream; what was read before is to be read again. */
  readonly gap: boolean;
}

/** `waiting`: it was live or was refused, and is tried again. */
export type LiveState = "off" | "connecting" | "live" | "waiting";
/** Of the streams open now: what the shell shows. */
export const liveState = signal<LiveState>("off");

/** Milliseconds: first try again, and at most. */
const AGAIN_MS = { first: 1000, most: 15_000 };
/** Milliseconds of silence after which the line counts as dead; heartbeats come oftener. */
const SILENCE_MS = 45_000;

/** Streams until the returned function is called. Devices: those asked for; at least one. */
export function openLive(
  devices: readonly string[],
  take: (news: LiveNews) => void,
): () => void {
  const over = new AbortController();
  let updates: FullMessage[] = [];
  let presence: PresenceNews[] = [];
  let gap = false;
  let frame = 0;

  function flush(): void {
    frame = 0;
    const news = { updates, presence, gap };
    updates = [];
    presence = [];
    gap = false;
    take(news);
  }

  function heard({ event, data }: StreamEvent): void {
    if (event === "update") updates.push(JSON.parse(data) as FullMessage);
    else if (event === "presence")
      presence.push(JSON.parse(data) as PresenceNews);
    else if (event === "gap") gap = true;
    else return;
    if (frame === 0) frame = requestAnimationFrame(flush);
  }

  void run(devices, heard, over.signal);
  return () => {
    over.abort();
    cancelAnimationFrame(frame);
    liveState.value = "off";
  };
}

async function run(
  devices: readonly string[],
  heard: (event: StreamEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const query = devices
    .map((device) => `device=${encodeURIComponent(device)}`)
    .join("&");
  let lastId = "";
  let waitMs = AGAIN_MS.first;
  let wasLive = false;
  liveState.value = "connecting";
  while (!signal.aborted) {
    try {
      const token = await accessToken();
      const response = await fetch(`${API}/live?${query}`, {
        headers: {
          accept: "text/event-stream",
          ...(token !== null && { authorization: `Bearer ${token}` }),
          ...(lastId !== "" && { "last-event-id": lastId }),
        },
        signal,
        cache: "no-store",
      });
      if (!response.ok || response.body === null)
        throw new Error(`the live stream answered ${response.status}`);
      liveState.value = "live";
      waitMs = AGAIN_MS.first;
      // The gateway cannot tell what was missed since an event that never came.
      if (wasLive && lastId === "") heard({ event: "gap", data: "", id: "" });
      wasLive = true;
      await read(response.body, signal, (event) => {
        if (event.id !== "") lastId = event.id;
        heard(event);
      });
    } catch {
      // Away, refused or broken off: all of them are tried again, and shown meanwhile.
    }
    if (signal.aborted) return;
    liveState.value = "waiting";
    await pause(waitMs * (0.75 + Math.random() / 2), signal);
    waitMs = Math.min(waitMs * 2, AGAIN_MS.most);
  }
}

async function read(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  heard: (event: StreamEvent) => void,
): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const events = createEventReader();
  let timer = 0;
  try {
    for (;;) {
      clearTimeout(timer);
      timer = setTimeout(
        () => void reader.cancel(),
        SILENCE_MS,
      ) as unknown as number;
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      for (const event of events.take(decoder.decode(value, { stream: true })))
        heard(event);
    }
  } finally {
    clearTimeout(timer);
  }
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((over) => {
    const timer = setTimeout(over, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), over()), {
      once: true,
    });
  });
