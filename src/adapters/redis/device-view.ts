/**
 * The view in Redis, as the processor writes it: one send and one answer a batch, whatever is in it.
 * Measured on 2 cores, 270-byte messages, CPU of node + Redis a message: 30 of each of 100 devices 1.2 + 2.5 µs (an ioredis pipeline
 * of plain commands: 5–7 + 1.9), one of each of 3,000 devices 6 + 13 µs (35–38 + 10); 310,000 and 60,000 messages/s (150,000–190,000, 30,000).
 */
import type { Clock, DeviceView } from "../../ports.js";
import { appliedKey, HORIZON_KEY, lastStateKey } from "../../domain/names.js";
import { createGatherer } from "./command-buffer.js";
import { connect } from "./connect.js";
import { sendBatch } from "./send-batch.js";
import { putOffline, putWrite } from "./view-commands.js";

/** Bytes of a write beyond which it goes over a connection of its own: Redis serves connections in turn, but each in its order. */
const LARGE_BYTES = 64 * 1024;
/** Redis may stall while it forks or syncs its append-only file; a connection silent for longer is taken for dead. */
const SILENCE_MS = 10_000;

export interface DeviceViewOptions {
  readonly url: string;
  /** History is trimmed to this, and its key expires so long after the last message. */
  readonly historySeconds: number;
  /**
   * A device that was last seen longer ago comes online again with its next message, and one whose message is older is not
   * called online. Without it only a device that is not in the online set comes online.
   */
  readonly offlineAfterSeconds?: number;
  readonly clock: Clock;
}

/** Returns at once and connects in the background; see `connect` for what its calls throw. */
export function createDeviceView(options: DeviceViewOptions): DeviceView {
  const connectAs = (name: string) =>
    connect({ url: options.url, name, silenceMs: SILENCE_MS });
  const link = connectAs("twinstream-view");
  const forLarge = connectAs("twinstream-view-large");
  const rules = {
    historySeconds: options.historySeconds,
    offlineAfterSeconds: options.offlineAfterSeconds ?? null,
  };
  // Gathered outside of `run`: a throw in there would be a mistake of ours, not Redis'.
  const gather = createGatherer();

  return {
    async write(write) {
      const batch = gather((out) =>
        putWrite(out, write, rules, options.clock() / 1000),
      );
      const over = batch.bytes.length > LARGE_BYTES ? forLarge : link;
      const replies = await over.run((redis) => sendBatch(redis, batch));
      return { marked: write.mark !== null && replies.at(-1) === 1 };
    },

    mark: (topic, partition) =>
      link.run(async (redis) => {
        const mark = await redis.get(appliedKey(topic, partition));
        return mark === null ? null : Number(mark);
      }),

    setMark: (topic, partition, offset) =>
      link.run(async (redis) => {
        const key = appliedKey(topic, partition);
        await (offset === null ? redis.del(key) : redis.set(key, offset));
      }),

    async missingLast(devices) {
      const batch = gather((out) => {
        for (const { address } of devices) {
          out.command(2);
          out.arg("EXISTS");
          out.arg(lastStateKey(address));
        }
      });
      const found = await link.run((redis) => sendBatch(redis, batch));
      return devices.filter((_, i) => found[i] === 0);
    },

    async offline(changes) {
      const batch = gather((out) => {
        for (const change of changes)
          putOffline(out, { ...change, publish: true });
      });
      await link.run((redis) => sendBatch(redis, batch));
    },

    horizon: (untilMs, bridgesMs) =>
      link.run(async (redis) => {
        const fields = [...untilMs].flatMap(([partition, ms]) => [
          String(partition),
          String(ms),
        ]);
        if (bridgesMs !== null) fields.push("bridges", String(bridgesMs));
        if (fields.length > 0) await redis.hset(HORIZON_KEY, ...fields);
      }),

    onReconnect(listener) {
      link.onReconnect(listener);
      forLarge.onReconnect(listener);
    },
    async ping() {
      await Promise.all(
        [link, forLarge].map((one) => one.run((redis) => redis.ping())),
      );
    },
    async close() {
      await Promise.all([link.close(), forLarge.close()]);
    },
  };
}
