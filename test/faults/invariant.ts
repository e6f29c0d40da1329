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
  const reading = logReading(eyes.log, config, { prefix, from });
  const violations: string[] = [];
  /** Read, and not yet behind an offset when last looked at. */
  let open: Logged[] = [];
  let taken = 0;
  let records = 0;
  let checks = 0;

  /** Offsets only grow and rows stay, so what was found to be there is not looked at again. */
  async function check(what: string): Promise<void> {
    const stored = await eyes.readStored();
    const committed = await eyes.readCommitted();
    await reading.readOn(AbortSignal.timeout(READ_MS));
    open = open.concat(reading.found.slice(taken));
    taken = reading.found.length;
    const isPromised = ({ partition, offset }: Logged): boolean =>
      offset < Math.max(stored[partition] ?? 0, committed[partition] ?? 0);
    const promised = open.filter(isPromised);
    open = open.filter((one) => !isPromised(one));
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

  return {
    reading,
    violations,
    check,
    /** Deaths looked at, and records that were behind an offset then. */
    looked: () => ({ checks, records }),
  };
}
