/**
 * Quiet devices beside a fleet, a few in every partition: how long each of their messages takes from the publish until a
 * subscriber of Redis has it, and whether any came out of order.
 */
import { Redis } from "ioredis";
import mqtt from "mqtt";
import { partitionOf } from "../../src/domain/partition.js";
import type { Ground } from "./ground.js";

const PREFIX = "probe-";
const EACH = 2;
/** Between two messages of a device. */
const EVERY_MS = 500;

interface Sample {
  readonly partition: number;
  readonly sentMs: number;
  readonly latencyMs: number;
}

export interface Probe {
  /** Milliseconds below which so large a share of the messages of these partitions, sent in between, stayed; null for none. */
  latency(
    share: number,
    fromMs: number,
    toMs: number,
    partitions: (partition: number) => boolean,
  ): number | null;
}

/** Ids of devices that live in these partitions: so many, named after `prefix`. */
export function idsIn(
  prefix: string,
  count: number,
  all: number,
  partitions: (partition: number) => boolean,
): string[] {
  const ids: string[] = [];
  for (let n = 1; ids.length < count; n++) {
    const id = `${prefix}${n}`;
    if (partitions(partitionOf(id, all))) ids.push(id);
  }
  return ids;
}

export async function startProbe(ground: Ground): Promise<Probe> {
  const all = ground.config.IOT_PARTITIONS;
  const devices = Array.from({ length: all }, (_, partition) =>
    idsIn(PREFIX, EACH, all, (one) => one === partition).map((id) => ({
      id,
      partition,
    })),
  ).flat();
  const client = await mqtt.connectAsync(ground.env["MQTT_URL"]!, {
    protocolVersion: 5,
    clientId: "probe",
  });
  client.on("error", () => undefined);
  const redis = new Redis(ground.env["REDIS_URL"]!);
  redis.on("error", () => undefined);
  await redis.psubscribe(`device-updates:${PREFIX}*`);
  const sent = new Map<string, { partition: number; sentMs: number }>();
  const samples: Sample[] = [];
  const last = new Map<string, number>();
  let number = 0;
  redis.on("pmessage", (_pattern: string, channel: string, text: string) => {
    const { payload } = JSON.parse(text) as { payload: { probe: number } };
    const key = `${channel} ${payload.probe}`;
    const one = sent.get(key);
    if (one === undefined) return;
    sent.delete(key);
    if (payload.probe < (last.get(channel) ?? 0))
      ground.violation(`${channel}: ${payload.probe} came after a later one`);
    last.set(channel, payload.probe);
    samples.push({ ...one, latencyMs: performance.now() - one.sentMs });
  });
  const timers = devices.map(({ id, partition }, n) =>
    setTimeout(
      () => {
        timers[n] = setInterval(() => {
          number += 1;
          sent.set(`device-updates:${id} ${number}`, {
            partition,
            sentMs: performance.now(),
          });
          client.publish(`devices/${id}/data`, `{"probe":${number}}`, {
            qos: 1,
          });
        }, EVERY_MS);
      },
      (n * EVERY_MS) / devices.length,
    ),
  );
  ground.onEnd(async () => {
    for (const timer of timers) clearInterval(timer);
    await Promise.all([client.endAsync(true), redis.quit()]);
  });
  return {
    latency(share, fromMs, toMs, partitions) {
      const found = samples
        .filter(
          ({ sentMs, partition }) =>
            sentMs >= fromMs && sentMs < toMs && partitions(partition),
        )
        .map(({ latencyMs }) => latencyMs)
        .toSorted((a, b) => a - b);
      const at =
        found[Math.min(found.length - 1, Math.floor(share * found.length))];
      return at === undefined ? null : Math.round(at * 10) / 10;
    },
  };
}
