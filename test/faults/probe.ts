/**
 * Quiet devices beside a fleet, a few in every partition: how long each of their messages takes from the publish until
 * whoever listens has it, and whether any came out of order. They live in a thread of their own.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { partitionOf } from "../../src/domain/partition.js";
import type { Ground } from "./ground.js";

export const PREFIX = "probe-";
const EACH = 2;
/** Between two messages of a device. */
export const EVERY_MS = 500;
/** What comes before anything is done to anyone, less the time in which devices are made known and actors wake up. */
export const QUIET_MS = 10_000;

/** From the publish on; or from the arrival at the bridge on, without the broker, whose queue all devices share. */
type Way = "whole" | "behind the broker";

interface Sample extends Readonly<Record<Way, number>> {
  readonly partition: number;
  /** Unix milliseconds. */
  readonly sentMs: number;
}

/** What the thread is given. */
export interface ProbeData {
  readonly mqttUrl: string;
  readonly redisUrl: string;
  /** Of `/live`; a subscriber of Redis listens where it is null. */
  readonly liveUrl: string | null;
  readonly devices: readonly { id: string; partition: number }[];
}

/** To end: how long what was sent may still take. */
export interface ToProbe {
  readonly withinMs: number;
}

export type Said =
  | { readonly ready: true }
  | { readonly sample: Sample }
  | { readonly wrong: string }
  | { readonly unheard: number };

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

/** @param liveUrl of `/live`, where a stream is to listen in place of a subscriber of Redis */
export async function startProbe(
  ground: Ground,
  liveUrl: string | null = null,
): Promise<Probe> {
  const all = ground.config.IOT_PARTITIONS;
  const workerData: ProbeData = {
    mqttUrl: ground.env["MQTT_URL"]!,
    redisUrl: ground.env["REDIS_URL"]!,
    liveUrl,
    devices: Array.from({ length: all }, (_, partition) =>
      idsIn(PREFIX, EACH, all, (one) => one === partition).map((id) => ({
        id,
        partition,
      })),
    ).flat(),
  };
  const thread = new Worker(new URL("./probe-thread.js", import.meta.url), {
    workerData,
  });
  ground.onEnd(() => thread.terminate());
  const samples: Sample[] = [];
  const unheard = new Promise<number>((resolve, reject) => {
    thread.on("error", reject);
    thread.on("message", (said: Said) => {
      if ("sample" in said) samples.push(said.sample);
      else if ("wrong" in said) ground.violation(said.wrong);
      else if ("unheard" in said) resolve(said.unheard);
    });
  });
  // Met where it is waited for, if it is at all.
  unheard.catch(() => undefined);
  const [first] = (await once(thread, "message")) as [Said];
  if (!("ready" in first)) throw new Error("the probe said something else");
  return {
    end(withinMs) {
      thread.postMessage({ withinMs } satisfies ToProbe);
      return unheard;
    },
    latency(share, fromMs, toMs, partitions, way = "whole") {
      const found = samples
        .filter(({ sentMs, partition }) => {
          const atMs = sentMs - performance.timeOrigin;
          return atMs >= fromMs && atMs < toMs && partitions(partition);
        })
        .map((sample) => sample[way])
        .toSorted((a, b) => a - b);
      const at =
        found[Math.min(found.length - 1, Math.floor(share * found.length))];
      return at === undefined ? null : Math.round(at * 10) / 10;
    },
  };
}
