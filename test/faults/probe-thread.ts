/** The thread of a probe: see probe.ts. Of its own, so that what it measures is not how busy the fleet's simulator keeps the main one. */
import { parentPort, workerData } from "node:worker_threads";
import { Redis } from "ioredis";
import mqtt from "mqtt";
import { openSse } from "../support/live-clients.js";
import { until } from "../support/wait.js";
import {
  EVERY_MS,
  PREFIX,
  type ProbeData,
  type Said,
  type ToProbe,
} from "./probe.js";

const { mqttUrl, redisUrl, liveUrl, devices } = workerData as ProbeData;
const port = parentPort!;
const say = (said: Said): void => port.postMessage(said);
/** Unix milliseconds with their fraction, the same in every thread. */
const now = (): number => performance.timeOrigin + performance.now();

const sent = new Map<string, { partition: number; sentMs: number }>();
const last = new Map<string, number>();
let number = 0;

function hear(text: string): void {
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
    say({ wrong: `${id}: ${payload.probe} came after a later one` });
  last.set(id, payload.probe);
  const heardMs = now();
  say({
    sample: {
      ...one,
      whole: heardMs - one.sentMs,
      "behind the broker": heardMs - timestamp * 1000,
    },
  });
}

async function subscribe(): Promise<() => Promise<unknown>> {
  const redis = new Redis(redisUrl);
  redis.on("error", () => undefined);
  redis.on("pmessage", (_pattern: string, _channel: string, text: string) =>
    hear(text),
  );
  await redis.psubscribe(`device-updates:${PREFIX}*`);
  return () => redis.quit();
}

/** One stream of all of the devices. */
async function follow(url: string): Promise<() => Promise<unknown>> {
  const query = devices.map(({ id }) => `device=${id}`).join("&");
  const stream = await openSse(`${url}?${query}`);
  await stream.wait("ready");
  Object.assign(stream.events, {
    push({ event, text }: { event: string; text: string }) {
      if (event === "update") hear(text);
      else if (event === "gap" || event === "conflated")
        say({ wrong: `a reader that reads was sent ${event}: ${text}` });
      return 0;
    },
  });
  return async () => stream.close();
}

const client = await mqtt.connectAsync(mqttUrl, {
  protocolVersion: 5,
  clientId: "probe",
});
client.on("error", () => undefined);
const stopListening = await (liveUrl === null ? subscribe() : follow(liveUrl));
const timers = devices.map(({ id, partition }, n) =>
  setTimeout(
    () => {
      timers[n] = setInterval(() => {
        number += 1;
        sent.set(`${id} ${number}`, { partition, sentMs: now() });
        client.publish(`devices/${id}/data`, `{"probe":${number}}`, { qos: 1 });
      }, EVERY_MS);
    },
    (n * EVERY_MS) / devices.length,
  ),
);

async function end({ withinMs }: ToProbe): Promise<void> {
  for (const timer of timers) clearInterval(timer);
  await until(() => sent.size === 0, {
    withinMs,
    what: "every message of the probe to be heard",
  }).catch(() => undefined);
  say({ unheard: sent.size });
  await Promise.all([client.endAsync(true), stopListening()]);
  port.close();
}

port.on("message", (asked: ToProbe) => void end(asked));
say({ ready: true });
