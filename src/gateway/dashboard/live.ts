/**
 * The live stream: messages and changes of presence as they happen. Read by fetch rather than EventSource, which can send no
 * token, would put a ticket into addresses, and could not go on from the last event with a new one. What comes is handed over
 * once a frame, however much it is; once a second while the page is hidden.
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

/** Milliseconds between two handings over while nobody looks. */
const HIDDEN_MS = 1000;

function atNextFrame(work: () => void): () => void {
  const frame = requestAnimationFrame(work);
  return () => cancelAnimationFrame(frame);
}

function inAWhile(work: () => void): () => void {
  const timer = setTimeout(work, HIDDEN_MS);
  return () => clearTimeout(timer);
}

/** Streams until the returned function is called. Devices: those asked for; at least one. */
export function openLive(
  devices: readonly string[],
  take: (news: LiveNews) => void,
): () => void {
  const over = new AbortController();
  let updates: FullMessage[] = [];
  let presence: PresenceNews[] = [];
  let gap = false;
  /** Ends the wait for the next handing over; null where nothing waits. */
  let stopWaiting: (() => void) | null = null;

  function flush(): void {
    stopWaiting?.();
    stopWaiting = null;
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
    stopWaiting ??= document.hidden ? inAWhile(flush) : atNextFrame(flush);
  }

  // A hidden page gets no frames: what waits for one would only grow.
  document.addEventListener(
    "visibilitychange",
    () => {
      if (stopWaiting !== null) flush();
    },
    { signal: over.signal },
  );
  void run(devices, heard, over.signal);
  return () => {
    over.abort();
    stopWaiting?.();
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

/** Ends before its time where the browser finds its network again. */
const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((over) => {
    const ended = new AbortController();
    const end = (): void => {
      clearTimeout(timer);
      ended.abort();
      over();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end, { signal: ended.signal });
    addEventListener("online", end, { signal: ended.signal });
  });
