/** Gathers what log, database and view have of a ledger's devices, and holds it against the ledger. */
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { readShownDevices } from "../../adapters/redis/shown-devices.js";
import { createSentRows } from "../../adapters/timescale/sent-rows.js";
import type { Config } from "../../config.js";
import { DEFAULT_TENANT, TOPIC } from "../../domain/names.js";
import type { LogInspector } from "../../ports.js";
import {
  type Comparison,
  compare,
  instant,
  type Logged,
  place,
  type Shown,
  valuesOf,
} from "../../simulator/compare.js";
import type { Attempt, UploadAttempt } from "../../simulator/ledger.js";
import { loggedReader } from "../../simulator/logged.js";
import { decodeRules } from "../decode-rules.js";

/** Messages of the ledger; its uploads are none. */
export async function readLedger(path: string): Promise<Attempt[]> {
  const lines = (await readFile(path, "utf8")).split("\n");
  return lines
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Attempt | UploadAttempt)
    .filter((attempt) => attempt.class !== "upload");
}

/**
 * Records of the log, from these offsets on, of devices whose address begins so. A second call reads on where the first
 * ended.
 */
export function logReading(
  log: LogInspector,
  config: Config,
  { prefix, from }: { prefix: string; from: readonly number[] },
) {
  const read = loggedReader(
    {
      ...decodeRules(config, from.length),
      tenants: new Set([DEFAULT_TENANT]),
    },
    prefix,
  );
  const positions = [...from];
  const found: Logged[] = [];
  return {
    found,
    /** First offsets not read. */
    positions,
    /** @param upTo offsets, by partition, to read up to where not all is wanted; they must be there */
    async readOn(signal: AbortSignal, upTo?: readonly number[]): Promise<void> {
      const ends =
        upTo ?? (await log.bounds(TOPIC.data)).map(({ high }) => high);
      for (const [partition, to] of ends.entries()) {
        if (to <= positions[partition]!) continue;
        await log.read(
          { topic: TOPIC.data, partition, from: positions[partition]!, to },
          async (records) => {
            for (const record of records) {
              const logged = read(record);
              if (logged !== null) found.push(logged);
            }
          },
          signal,
        );
        positions[partition] = Math.max(positions[partition]!, to);
      }
    },
  };
}

const READ_ON_MS = 300;

/**
 * Reads on until every accepted message is on the log, or for so long nothing of these devices has come: what the broker
 * still had for the bridge has passed then.
 */
export async function readUntilQuiet(
  reading: ReturnType<typeof logReading>,
  attempts: readonly Attempt[],
  quietMs: number,
  signal: AbortSignal,
): Promise<void> {
  const awaited = new Set(
    attempts
      .filter(({ outcome }) => outcome === "acked")
      .map(({ dev, sha256 }) => `${dev} ${sha256}`),
  );
  let seen = 0;
  let quietSinceMs = performance.now();
  for (;;) {
    await reading.readOn(signal);
    const { found } = reading;
    if (found.length > seen) quietSinceMs = performance.now();
    for (; seen < found.length; seen += 1)
      awaited.delete(`${found[seen]!.dev} ${found[seen]!.sha256}`);
    if (awaited.size === 0 || performance.now() - quietSinceMs > quietMs)
      return;
    await pause(READ_ON_MS, undefined, { signal });
  }
}

/** @param prefix of the devices' addresses, tenant `default` */
export async function compareWithStores(
  config: Config,
  prefix: string,
  attempts: readonly Attempt[],
  logged: readonly Logged[],
): Promise<Comparison> {
  const devices = [...new Set(attempts.map(({ dev }) => dev))];
  const store = createSentRows(config.DATABASE_URL);
  try {
    const rows = new Map<string, string>();
    await store.instants(DEFAULT_TENANT, devices, (found) =>
      rows.set(instant(found.deviceId, found.timeUs), valuesOf(found.points)),
    );
    const letters = await store.letters(DEFAULT_TENANT, prefix);
    const view = await readShownDevices(config.REDIS_URL, devices);
    const shown = new Map<string, Shown>();
    for (const [address, { timestamp, ...texts }] of view)
      shown.set(address, {
        timeUs: timestamp === null ? null : Math.round(timestamp * 1e6),
        ...texts,
      });
    return compare(attempts, {
      logged,
      rows,
      letters: new Map(letters.map((one) => [place(one), one.reason])),
      shown,
    });
  } finally {
    await store.close();
  }
}
