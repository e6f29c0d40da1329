/** The view in Redis, as the gateway reads it: over a connection of its own, which fails fast when Redis is away. */
import {
  HORIZON_KEY,
  historyKey,
  lastStateKey,
  onlineKey,
  parseAddress,
} from "../../domain/names.js";
import { parseSeconds } from "../../domain/time.js";
import { fullMessage } from "../../domain/envelope.js";
import type { AcceptedCommand, DeviceViewReader } from "../../ports.js";
import { createAsk } from "./ask.js";
import { connect } from "./connect.js";
import type { Reply } from "./send-batch.js";

/** A person waits for the answer. */
const SILENCE_MS = 1_000;
const ACCEPTED_COMMAND_SECONDS = 3600;

/** Nobody outside reads this key. */
const acceptedCommandKey = (address: string, cmdId: string): string =>
  `twinstream:command:${address}:${cmdId}`;

/** Returns at once and connects in the background; see `connect` for what its calls throw. */
export function createDeviceViewReader(options: {
  readonly url: string;
}): DeviceViewReader {
  const link = connect({
    url: options.url,
    name: "twinstream-view-reader",
    silenceMs: SILENCE_MS,
  });

  const ask = createAsk();

  return {
    last: (address) =>
      link.run(async (redis) => {
        const [payload, timestamp] = listOf(
          await ask(
            redis,
            "HMGET",
            lastStateKey(address),
            "payload",
            "timestamp",
          ),
        );
        return payload == null || timestamp == null
          ? null
          : { payload: String(payload), timestamp: Number(timestamp) };
      }),

    history: (address, fromS, toS, offset, limit) =>
      link.run(async (redis) =>
        listOf(
          await ask(
            redis,
            "ZRANGEBYSCORE",
            historyKey(address),
            String(fromS),
            String(toS),
            "LIMIT",
            String(offset),
            String(limit),
          ),
        ).map(String),
      ),

    online: (tenant, sinceS) =>
      link.run(async (redis) => {
        const key = onlineKey(tenant);
        const [exists, flat] = await Promise.all([
          redis.exists(key),
          redis.zrangebyscore(key, sinceS, "+inf", "WITHSCORES"),
        ]);
        if (exists === 0) return null;
        const devices: { deviceId: string; seenS: number }[] = [];
        for (let i = 0; i + 1 < flat.length; i += 2)
          devices.push({
            deviceId: flat[i] as string,
            seenS: Number(flat[i + 1]),
          });
        return devices;
      }),

    heardSince: (tenant, sinceS, limit) =>
      link.run((redis) =>
        redis.zrevrangebyscore(
          onlineKey(tenant),
          "+inf",
          sinceS,
          "LIMIT",
          0,
          limit,
        ),
      ),

    lastMessages: (addresses) =>
      link.run((redis) =>
        Promise.all(
          addresses.map(async (at) => {
            const [payload, timestamp, site] = listOf(
              await ask(
                redis,
                "HMGET",
                lastStateKey(at),
                "payload",
                "timestamp",
                "site",
              ),
            );
            const name = parseAddress(at);
            if (payload == null || timestamp == null || name === null)
              return null;
            return fullMessage({
              ...name,
              site: site == null ? null : String(site),
              payload: String(payload),
              timeUs: parseSeconds(Number(timestamp)),
            });
          }),
        ),
      ),

    seen: (tenant, deviceIds) =>
      link.run(async (redis) => {
        const key = onlineKey(tenant);
        const [exists, scores] = await Promise.all([
          ask(redis, "EXISTS", key),
          // ZMSCORE of nothing is an error.
          deviceIds.length === 0
            ? []
            : ask(redis, "ZMSCORE", key, ...deviceIds),
        ]);
        if (exists === 0) return null;
        return listOf(scores).map((score) =>
          score === null ? null : Number(score),
        );
      }),

    horizon: () =>
      link.run(async (redis) => {
        const { bridges, ...partitions } = await redis.hgetall(HORIZON_KEY);
        const until = Object.values(partitions).map(Number);
        return until.length === 0
          ? null
          : {
              untilMs: Math.min(...until),
              bridgesMs: bridges === undefined ? null : Number(bridges),
            };
      }),

    rememberCommand: (address, command) =>
      link.run(async (redis) => {
        await redis.set(
          acceptedCommandKey(address, command.cmdId),
          JSON.stringify(command),
          "EX",
          ACCEPTED_COMMAND_SECONDS,
        );
      }),

    acceptedCommand: (address, cmdId) =>
      link.run(async (redis) => {
        const text = await redis.get(acceptedCommandKey(address, cmdId));
        // Written by `rememberCommand` alone.
        return text === null ? null : (JSON.parse(text) as AcceptedCommand);
      }),

    ping: () => link.run(async (redis) => void (await redis.ping())),
    close: link.close,
  };
}

/** Of commands that answer with an array. */
const listOf = (reply: Reply): readonly Reply[] => reply as readonly Reply[];
