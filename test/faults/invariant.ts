/**
 * At the instant of a processor's death, before another takes over: whatever is behind a committed or stored offset is in the
 * database, as rows or as a dead letter.
 */
import type { Config } from "../../src/config.js";
import { place, type Logged } from "../../src/simulator/compare.js";
import { logReading } from "../../src/main/drill/evidence.js";
import type { Ground } from "./ground.js";
import type { Watch } from "./watch.js";

const READ_MS = 60_000;
/** Records looked up by one statement. */
const AT_ONCE = 5000;

const MISSING = `
  SELECT a.n FROM unnest($1::int[], $2::text[], $3::bigint[]) AS a (n, device, us)
  WHERE NOT EXISTS (
    SELECT FROM equipments e
    JOIN sensors s ON s.equipment_id = e.id
    JOIN store.telemetry_data d
      ON d.sensor_id = s.id AND d.time = timestamptz 'epoch' + a.us * interval '1 microsecond'
    WHERE e.tenant_id = 'default' AND e.equip_uuid = a.device)`;
const LETTERS = `
  SELECT log_partition AS partition, log_offset::float8 AS offset
  FROM ingest_errors WHERE item = -1 AND starts_with(device_id, $1)`;

export type Invariant = ReturnType<typeof createInvariant>;

/** @param prefix of the devices whose records are looked at @param from offsets at the trial's start, by partition */
export function createInvariant(
  ground: Pick<Ground, "query">,
  config: Config,
  eyes: Watch,
  { prefix, from }: { prefix: string; from: readonly number[] },
) {
  let reading = logReading(eyes.log, config, { prefix, from });
  /** Of the logs before this one. */
  let before: Logged[] = [];
  const violations: string[] = [];
  let taken = 0;
  let records = 0;
  let checks = 0;
  let last: Promise<unknown> = Promise.resolve();

  /** Offsets only grow and rows stay, so what was found to be there is not looked at again. */
  async function look(what: string): Promise<void> {
    const stored = await eyes.readStored();
    const committed = await eyes.readCommitted();
    const upTo = from.map((_, partition) =>
      Math.max(stored[partition] ?? 0, committed[partition] ?? 0),
    );
    await reading.readOn(AbortSignal.timeout(READ_MS), upTo);
    const promised = reading.found.slice(taken);
    taken = reading.found.length;
    const { rows: kept } = await ground.query<{
      partition: number;
      offset: number;
    }>(LETTERS, [prefix]);
    const letters = new Set(kept.map(place));
    const readings = promised.filter((one) => one.reading !== null);
    for (let i = 0; i < readings.length; i += AT_ONCE) {
      const some = readings.slice(i, i + AT_ONCE);
      const { rows } = await ground.query<{ n: number }>(MISSING, [
        some.map((_, n) => n),
        some.map(({ dev }) => dev),
        some.map((one) => one.reading!.timeUs),
      ]);
      for (const { n } of rows)
        if (!letters.has(place(some[n]!)))
          violations.push(
            `${what}: ${some[n]!.dev} at ${place(some[n]!)} is behind an offset and not stored`,
          );
    }
    records += promised.length;
    checks += 1;
  }

  /** All of the devices' records; offsets of a later log stand behind those of one that was wiped. */
  function logged(): Logged[] {
    const begin = before.reduce((end, one) => Math.max(end, one.offset + 1), 0);
    return [
      ...before,
      ...reading.found.map((one) => ({ ...one, offset: begin + one.offset })),
    ];
  }

  return {
    violations,
    logged,
    /** One at a time: each reads on where the one before has ended. */
    check(what: string): Promise<void> {
      const mine = last.then(() => look(what));
      last = mine.catch(() => undefined);
      return mine;
    },
    /** Of the log that there is now. */
    get reading() {
      return reading;
    },
    /** The log is another one from now on; all that was on it has been read. */
    anotherLog(): void {
      before = logged();
      taken = 0;
      reading = logReading(eyes.log, config, {
        prefix,
        from: from.map(() => 0),
      });
    },
    /** Deaths looked at, and records that were behind an offset then. */
    looked: () => ({ checks, records }),
  };
}
