/**
 * The live streams of this process: they come, are told what they missed, follow what is published, and go. One clock looks
 * after all of them, since thousands would each have a timer or two.
 */
import { setTimeout as pause } from "node:timers/promises";
import { address } from "../../domain/names.js";
import { toIso } from "../../domain/time.js";
import { reasonOf } from "../../errors.js";
import type {
  Clock,
  DeviceViewReader,
  LiveFeed,
  Observer,
} from "../../ports.js";
import { createLiveClient, type LiveClient } from "./client.js";
import { batchOf, said, updateFrame } from "./frame.js";
import { type Missed, readMissed } from "./missed.js";
import { createRooms, type Scope } from "./rooms.js";
import type { Sink } from "./sink.js";
import { createSlots } from "./slots.js";

export interface LiveHubOptions {
  readonly feed: LiveFeed;
  readonly view: Pick<
    DeviceViewReader,
    "history" | "heardSince" | "lastMessages"
  >;
  readonly observer: Observer;
  readonly clock: Clock;
  readonly historyHours: number;
  /** LIVE_BUFFER_BYTES: what a client may have waiting, written and not written each. */
  readonly bufferBytes: number;
  /** LIVE_STUCK_SECONDS: for how long a client may take nothing. */
  readonly stuckS: number;
  /** Milliseconds between two beats of a stream. */
  readonly beatMs?: number;
}

/** A stream that has begun to follow and is not shown to its client yet. */
export interface Seat {
  /** @param fromS time of the last message that the client had, Unix seconds; null: nothing is told again */
  attach(sink: Sink, fromS: number | null): Promise<void>;
  leave(): void;
}

export interface LiveHub {
  /** @throws VIEW_UNREACHABLE */
  enter(scope: Scope, untilMs: number): Promise<Seat>;
  /** Tells every client that this process goes. */
  close(): void;
}

const BEAT_MS = 15_000;
const LOOK_MS = 1_000;
/** Between two looks at what clients that are behind have taken. */
const CATCH_UP_MS = 50;
/** Between two `conflated` to a client that stays behind. */
const TELL_MS = 1_000;
/** Clients that are told at a time what they missed, how long another waits, and how long one may take to take it. */
const REPLAYS = 4;
const REPLAY_WAIT_MS = 10_000;
const REPLAY_MS = 5_000;
const REPLAY_LOOK_MS = 10;
const REPLAY_BATCH = 64;
/** Devices whose last states are read again after a gap: of those watched one by one, and of each tenant. */
const REREAD = { devices: 10_000, tenant: 1_000, atOnce: 200 };

const NOTHING: Missed = { messages: [], complete: true };
const UNKNOWN: Missed = { messages: [], complete: false };

export function createLiveHub(options: LiveHubOptions): LiveHub {
  const { feed, view, observer, clock } = options;
  const beatMs = options.beatMs ?? BEAT_MS;
  const rules = {
    bufferBytes: options.bufferBytes,
    stuckMs: options.stuckS * 1000,
    tellMs: TELL_MS,
  };
  const rooms = createRooms(feed);
  const replays = createSlots(REPLAYS);
  const counts = { frames: 0, conflated: 0, closedSlow: 0 };
  const streams = new Map<LiveClient, { sink: Sink; beatAtMs: number }>();
  const behind = new Set<LiveClient>();
  let catchingUp: NodeJS.Timeout | undefined;

  feed.listen({
    update: rooms.update,
    presence: rooms.presence,
    gap: (fromMs, toMs) => void tellGap(fromMs, toMs),
  });

  function fellBehind(client: LiveClient): void {
    behind.add(client);
    catchingUp ??= setInterval(() => {
      const nowMs = clock();
      for (const one of behind) if (!one.catchUp(nowMs)) behind.delete(one);
      if (behind.size > 0) return;
      clearInterval(catchingUp);
      catchingUp = undefined;
    }, CATCH_UP_MS);
  }

  const looking = setInterval(() => {
    const nowMs = clock();
    const clients = { sse: 0, websocket: 0 };
    for (const [client, stream] of streams) {
      clients[stream.sink.kind]++;
      if (nowMs >= client.untilMs) client.end("token_expired");
      else if (!client.cutIfStuck(nowMs) && nowMs >= stream.beatAtMs) {
        stream.beatAtMs = nowMs + beatMs;
        stream.sink.beat();
      }
    }
    observer.emit({ type: "live", clients, ...counts });
    Object.assign(counts, { frames: 0, conflated: 0, closedSlow: 0 });
  }, LOOK_MS);
  looking.unref();

  async function missedBy(scope: Scope, fromS: number | null): Promise<Missed> {
    if (fromS === null) return NOTHING;
    const nowS = clock() / 1000;
    const sinceS = nowS - options.historyHours * 3600;
    try {
      return await readMissed(view, scope, { fromS, sinceS, nowS });
    } catch (error) {
      failed("gateway: what a live stream missed", error);
      return UNKNOWN;
    }
  }

  /** As fast as the client takes it; answers how many it did not take in time. */
  async function replay(
    client: LiveClient,
    sink: Sink,
    { messages }: Missed,
  ): Promise<number> {
    const endMs = clock() + REPLAY_MS;
    for (let i = 0; i < messages.length; i += REPLAY_BATCH) {
      while (sink.buffered() > rules.bufferBytes) {
        if (client.ended() || clock() > endMs) return messages.length - i;
        await pause(REPLAY_LOOK_MS);
      }
      client.send(
        batchOf(
          messages
            .slice(i, i + REPLAY_BATCH)
            .map((one) => updateFrame(one.address, Buffer.from(one.text))),
        ),
      );
    }
    return 0;
  }

  async function begin(
    client: LiveClient,
    sink: Sink,
    scope: Scope,
    fromS: number | null,
  ): Promise<void> {
    const release =
      fromS === null ? () => undefined : await replays.take(REPLAY_WAIT_MS);
    try {
      const missed = release === null ? UNKNOWN : await missedBy(scope, fromS);
      const { messages, complete } = missed;
      client.send(
        batchOf([said("ready", { resumed: messages.length, complete })]),
      );
      const skipped = await replay(client, sink, missed);
      if (skipped > 0)
        client.send(batchOf([said("conflated", { skipped, left_out: 0 })]));
      // What stands in the history may not have come as an update yet: it comes first, lest it come twice.
      if (messages.length > 0) await feed.settled().catch(() => undefined);
      rooms.sendTurn();
      client.open(new Set(messages.map(({ text }) => text)));
    } finally {
      release?.();
    }
  }

  /** The feed was away: clients are told, and shown how their devices stand now. */
  async function tellGap(fromMs: number, toMs: number): Promise<void> {
    const gap = batchOf([
      said("gap", { from: toIso(fromMs * 1000), to: toIso(toMs * 1000) }),
    ]);
    for (const client of streams.keys()) client.send(gap);
    try {
      await reread(rooms.devices().slice(0, REREAD.devices), "device");
      for (const tenant of rooms.tenants()) {
        const heard = await view.heardSince(
          tenant,
          fromMs / 1000,
          REREAD.tenant,
        );
        await reread(
          heard.map((id) => address(tenant, id)),
          "tenant",
        );
      }
    } catch (error) {
      failed("gateway: last states after a gap of the live streams", error);
    }
  }

  async function reread(
    addresses: readonly string[],
    watched: "device" | "tenant",
  ): Promise<void> {
    for (let i = 0; i < addresses.length; i += REREAD.atOnce) {
      const part = addresses.slice(i, i + REREAD.atOnce);
      const messages = await view.lastMessages(part);
      for (const [n, text] of messages.entries())
        if (text !== null) rooms.update(part[n]!, Buffer.from(text), watched);
    }
  }

  const failed = (where: string, error: unknown): void =>
    observer.emit({ type: "failure", where, error: reasonOf(error) });

  return {
    async enter(scope, untilMs) {
      let sink: Sink | null = null;
      const client = createLiveClient({
        sink: () => sink,
        untilMs,
        rules,
        counts,
        fellBehind: () => fellBehind(client),
      });
      await rooms.enter(client, scope);
      let left = false;
      return {
        async attach(given, fromS) {
          if (left) return;
          sink = given;
          streams.set(client, { sink, beatAtMs: clock() + beatMs });
          await begin(client, sink, scope, fromS);
        },
        leave() {
          if (left) return;
          left = true;
          client.gone();
          streams.delete(client);
          behind.delete(client);
          rooms.leave(client, scope);
        },
      };
    },
    close() {
      clearInterval(looking);
      clearInterval(catchingUp);
      for (const client of streams.keys()) client.end("going_away");
    },
  };
}
