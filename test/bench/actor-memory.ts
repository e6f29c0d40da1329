/**
 * Holds the state of so many devices, in actors or (`bare`) in a map, and prints what that takes: bytes of heap and of resident
 * memory a device, as JSON. A process of its own, so that nothing else is measured.
 *
 *   node --expose-gc actor-memory.js actors|bare 100000
 */
import { createActorSystem } from "../../actors/system.js";
import { createDecoder, isDeadLetter } from "../../src/domain/decode.js";
import { deviceReducer, newDevice } from "../../src/domain/decide.js";
import type { DeviceState } from "../../src/domain/device.js";
import { encodeEnvelope } from "../../src/domain/envelope.js";
import type { Message } from "../../src/domain/message.js";
import { TOPIC } from "../../src/domain/names.js";
import { partitionOf } from "../../src/domain/partition.js";
import { deviceName, payloadOf } from "./frame/backlog.js";

const [who = "actors", count = "100000"] = process.argv.slice(2);
const devices = Number(count);
const POINTS = 4;
const PARTITIONS = 12;
const BATCH = 1000;
const nowMs = Date.now();
const collect = (globalThis as { gc?: () => void }).gc!;
const decoder = createDecoder({
  tenants: new Set(["default"]),
  futureUs: 86_400e6,
  earliestUs: 0,
  retentionUs: null,
  tenantPrefix: "traksense",
  partitions: PARTITIONS,
});
const reducer = deviceReducer({
  historyUs: 18_000e6,
  tenantPrefix: "traksense",
});

function messageOf(device: number): Message {
  const deviceId = deviceName(device);
  const key = Buffer.from(deviceId);
  const value = encodeEnvelope({
    tenant: "default",
    deviceId,
    site: null,
    kind: "data",
    payload: payloadOf(device, 0, POINTS, nowMs),
    arrivalMs: nowMs,
  });
  const message = decoder.decode({
    topic: TOPIC.data,
    partition: partitionOf(key, PARTITIONS),
    offset: device,
    key,
    value,
    headers: {},
    timestampMs: nowMs,
  });
  if (isDeadLetter(message)) throw new Error(message.detail);
  return message;
}

interface Held {
  apply(messages: readonly Message[]): Promise<unknown>;
  readonly size: number;
}

function inActors(): Held {
  const system = createActorSystem({
    applyMessages: reducer,
    tenantPrefix: "traksense",
    observer: { emit: () => undefined },
  });
  const lane = system.open(0, (error) => {
    throw error;
  });
  return {
    apply(messages) {
      for (const message of messages) lane.spawn(newDevice(message));
      return lane.apply(
        new Map(messages.map((message) => [message.address, [message]])),
        nowMs,
      );
    },
    get size() {
      return lane.size;
    },
  };
}

function inMap(): Held {
  const states = new Map<string, DeviceState>();
  return {
    async apply(messages) {
      for (const message of messages)
        states.set(
          message.address,
          reducer(newDevice(message), [message], nowMs).state,
        );
    },
    get size() {
      return states.size;
    },
  };
}

const held = who === "bare" ? inMap() : inActors();
// Code is compiled and tables are made before the first look.
await held.apply(Array.from({ length: BATCH }, (_, n) => messageOf(n)));
collect();
const before = process.memoryUsage();
for (let from = BATCH; from < devices + BATCH; from += BATCH) {
  await held.apply(
    Array.from({ length: BATCH }, (_, n) => messageOf(from + n)),
  );
  collect();
}
collect();
const after = process.memoryUsage();
const taken = (of: "heapUsed" | "rss"): number =>
  Math.round((after[of] - before[of]) / (held.size - BATCH));
console.log(JSON.stringify({ heap: taken("heapUsed"), rss: taken("rss") }));
process.exit(0);
