/**
 * Quiet devices beside a fleet, a few in every partition: how long each of their messages takes from the publish until
 * whoever listens has it, and whether any came out of order.
 */
import { Redis } from "ioredis";
import mqtt from "mqtt";
import { partitionOf } from "../../src/domain/partition.js";
import { until } from "../support/wait.js";
import type { Ground } from "./ground.js";

const PREFIX = "probe-";
const EACH = 2;
/** Between two messages of a device. */
const EVERY_MS = 500;
/** What comes before anything is done to anyone, less the time in which devices are made known and actors wake up. */
export const QUIET_MS = 10_000;

/** From the publish on; or from the arrival at the bridge on, without the broker, whose queue all devices share. */
type Way = "whole" | "behind the broker";

interface Sample extends Readonly<Record<Way, number>> {
  readonly partition: number;
  readonly sentMs: number;
}

/** Hears the full messages of these devices from now on; answers what ends it. */
export type Listen = (
  ground: Ground,
  ids: readonly string[],
  hear: (text: string) => void,
) => Promise<() => Promise<unknown>>;

export interface Probe {
  /** No more is sent from now on; resolves with how many messages were not heard within the time. */
  end(withinMs: number): Promise<number>;
  /** Milliseconds below which so large a share of the messages of these partitions, sent in between, stayed; null for none. */
  latency(
    share: number,
    fromMs: number,
    toMs: number,
    partitions: (partition: number) => boolean,
    way?: Way,
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

const subscribed: Listen = async (ground, _ids, hear) => {
  const redis = new Redis(ground.env["REDIS_URL"]!);
  redis.on("error", () => undefined);
  redis.on("pmessage", (_pattern: string, _channel: string, text: string) =>
    hear(text),
  );
  await redis.psubscribe(`device-updates:${PREFIX}*`);
  return () => redis.quit();
};

/** @param listen a subscriber of Redis unless given */
export async function startProbe(
  ground: Ground,
  listen = subscribed,
): Promise<Probe> {
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
  const sent = new Map<string, { partition: number; sentMs: number }>();
  const samples: Sample[] = [];
  const last = new Map<string, number>();
  let number = 0;
  const hear = (text: string): void => {
    const {
      device_id: id,
      payload,
      // It has no time of its own: the bridge's clock gave it one, which is ours.
      timestamp,
    } = JSON.parse(text) as {
      device_id: string;
      payload: { probe: number };
      timestamp: number;
    };
    const key = `${id} ${payload.probe}`;
    const one = sent.get(key);
    if (one === undefined) return;
    sent.delete(key);
    if (payload.probe < (last.get(id) ?? 0))
      ground.violation(`${id}: ${payload.probe} came after a later one`);
    last.set(id, payload.probe);
    samples.push({
      ...one,
      whole: performance.now() - one.sentMs,
      "behind the broker": Date.now() - timestamp * 1000,
    });
  };
  const stopListening = await listen(
    ground,
    devices.map(({ id }) => id),
    hear,
  );
  const timers = devices.map(({ id, partition }, n) =>
    setTimeout(
      () => {
        timers[n] = setInterval(() => {
          number += 1;
          sent.set(`${id} ${number}`, {
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
  const stopSending = (): void => {
    for (const timer of timers) clearInterval(timer);
  };
  ground.onEnd(async () => {
    stopSending();
    await Promise.all([client.endAsync(true), stopListening()]);
  });
  return {
    async end(withinMs) {
      stopSending();
      await until(() => sent.size === 0, {
        withinMs,
        what: "every message of the probe to be heard",
      }).catch(() => undefined);
      return sent.size;
    },
    latency(share, fromMs, toMs, partitions, way = "whole") {
      const found = samples
        .filter(
          ({ sentMs, partition }) =>
            sentMs >= fromMs && sentMs < toMs && partitions(partition),
        )
        .map((sample) => sample[way])
        .toSorted((a, b) => a - b);
      const at =
        found[Math.min(found.length - 1, Math.floor(share * found.length))];
      return at === undefined ? null : Math.round(at * 10) / 10;
    },
  };
}
