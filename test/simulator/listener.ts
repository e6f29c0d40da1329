/** What a run is held against: a subscriber that writes down what the broker passes on, and the ledger read back. */
import { hash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt from "mqtt";
import type { Attempt } from "../../src/simulator/ledger.js";
import { type SimulateOptions, read } from "../../src/simulator/options.js";
import { simulate } from "../../src/simulator/simulate.js";
import type { Summary } from "../../src/simulator/tally.js";

export interface Heard {
  readonly topic: string;
  readonly payload: Buffer;
  readonly sha256: string;
}

export interface Listener {
  /** Everything so far, in the order of arrival. */
  readonly heard: Heard[];
  readonly client: mqtt.MqttClient;
  close(): Promise<void>;
}

/** Its session and what waits for it survive lost connections and a broker that is stopped cleanly. */
export async function listen(
  url: string,
  filters: string[],
): Promise<Listener> {
  const heard: Heard[] = [];
  const client = await mqtt.connectAsync(url, {
    protocolVersion: 5,
    clientId: `listener-${Math.random().toString(36).slice(2)}`,
    clean: false,
    properties: { sessionExpiryInterval: 600 },
    reconnectPeriod: 100,
  });
  // A lost connection is part of some tests; mqtt.js comes back.
  client.on("error", () => undefined);
  client.on("message", (topic, payload) =>
    heard.push({ topic, payload, sha256: hash("sha256", payload) }),
  );
  await client.subscribeAsync(filters, { qos: 1 });
  return {
    heard,
    client,
    close: () =>
      client.endAsync(false, { properties: { sessionExpiryInterval: 0 } }),
  };
}

export interface Run {
  readonly summary: Summary;
  readonly attempts: readonly Attempt[];
}

/** A run of the simulator with a ledger; 10 devices, 2,000 messages and no rate unless said otherwise. */
export async function runSimulator(
  url: string,
  prefix: string,
  options: Partial<SimulateOptions> = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<Run> {
  const folder = await mkdtemp(join(tmpdir(), "simulator-"));
  const ledger = join(folder, "ledger.jsonl");
  try {
    const summary = await simulate(
      {
        devices: 10,
        rate: 0,
        messages: 2000,
        mix: read.mix("normalised=70,plain=20,parsec=5,hello=5"),
        outOfOrder: 0,
        duplicates: 0,
        poison: 0,
        points: 4,
        qos: 1,
        seed: 1,
        prefix,
        answerCommands: false,
        ledger,
        drain: 20,
        speed: 0,
        point: "value",
        ...options,
      },
      {
        mqttUrl: url,
        tenantPrefix: "traksense",
        signal,
        progress: () => undefined,
        notice: () => undefined,
      },
    );
    const text = await readFile(ledger, "utf8");
    const attempts = text
      .trimEnd()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Attempt);
    return { summary, attempts };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Topics of the first ten devices. */
export const topicsOf = (prefix: string): string[] =>
  Array.from(
    { length: 10 },
    (_, i) => `devices/${prefix}${String(i + 1).padStart(4, "0")}/+`,
  );

/** How often each message stands there, by device and hash. */
export function countHeard(heard: readonly Heard[]): Map<string, number> {
  return countBy(
    heard.map(({ topic, sha256 }) => `${topic.split("/")[1]} ${sha256}`),
  );
}
export function countAttempts(
  attempts: readonly Attempt[],
): Map<string, number> {
  return countBy(attempts.map(({ dev, sha256 }) => `${dev} ${sha256}`));
}

function countBy(keys: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}
