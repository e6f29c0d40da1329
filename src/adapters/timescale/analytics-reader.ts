/**
 * What the gateway reads of history: as twinstream_reader through the tenants' views, with app.tenant_id set for the one
 * transaction. Rows come by (sensor, time), the order of the unique index and of the aggregates' own.
 */
import pg from "pg";
import type {
  AnalyticsQuestion,
  AnalyticsReader,
  Bucket,
  Reading,
  SensorRecord,
} from "../../ports.js";
import { toIso } from "../../domain/time.js";
import {
  type AnalyticsRow,
  bucketOf,
  BUCKETS,
  readingOf,
  READINGS,
  type Selection,
} from "./analytics-rows.js";
import { connectDatabase, type Session } from "./connect.js";
import { microsecondsOf } from "./times.js";

export interface AnalyticsReaderOptions {
  readonly url: string;
  readonly name: string;
  readonly poolMin: number;
  readonly poolMax: number;
}

/** Rows that a stream holds at a time. */
const BATCH_ROWS = 2000;
const HOUR_US = 3_600_000_000;

const EQUIPMENT = `SELECT id, equip_nome FROM equipments WHERE tenant_id = $1 AND equip_uuid = $2`;

const SENSORS = `
  SELECT id, sensor_uuid AS name, sensor_tipo AS type, type_class AS "typeClass", unit FROM sensors
  WHERE equipment_id = $1 AND id > $2 AND ($3::text[] IS NULL OR sensor_uuid = ANY ($3))
  ORDER BY id LIMIT $4`;

const NEWEST_TIMES = `
  SELECT s.id AS sensor_id, ${microsecondsOf("d.time")} AS time_us
  FROM unnest($1::int[]) AS s (id)
  CROSS JOIN LATERAL (
    SELECT time FROM telemetry_data r WHERE r.sensor_id = s.id AND r.time >= $2::timestamptz AND r.time < $3::timestamptz
    ORDER BY time DESC LIMIT $4
  ) d
  ORDER BY s.id, d.time DESC`;
/** How far back the newest times are looked for, each further only for the sensors that had too few before. */
const LOOK_BACK_US = [1, 24, 8 * 24, 40 * 24].map((hours) => hours * HOUR_US);

/** Connects with the first call, not here. */
export function createAnalyticsReader(
  options: AnalyticsReaderOptions,
): AnalyticsReader {
  const database = connectDatabase({ ...options, role: "twinstream_reader" });

  const asTenant = <T>(
    tenant: string,
    doing: string,
    work: (session: Session) => Promise<T>,
    isolation = "READ COMMITTED",
  ): Promise<T> =>
    database.use(doing, async (session) => {
      // In one round trip: a page asks three times, and each asks little.
      await session.run(
        `BEGIN ISOLATION LEVEL ${isolation} READ ONLY; SET LOCAL app.tenant_id = ${pg.escapeLiteral(tenant)}`,
      );
      const answer = await work(session);
      await session.run("COMMIT");
      return answer;
    });

  /** One cursor after the other, over one snapshot. */
  const stream = <T>(
    question: AnalyticsQuestion,
    selection: Selection,
    firstWindowUs: number,
    read: (row: AnalyticsRow) => T,
    each: (rows: readonly T[]) => Promise<void>,
  ): Promise<void> =>
    asTenant(
      question.tenant,
      "read a history",
      async (session) => {
        for (const { sensorId, ...span } of spans(question))
          await inWindows(span, firstWindowUs, async (from, to) => {
            await session.run(
              `DECLARE history NO SCROLL CURSOR FOR ${selection.ofOne}`,
              [sensorId, from, to],
            );
            let count = 0;
            for (;;) {
              const rows = await session.rows<AnalyticsRow>(
                `FETCH ${BATCH_ROWS} FROM history`,
              );
              if (rows.length > 0) await each(rows.map(read));
              count += rows.length;
              if (rows.length < BATCH_ROWS) break;
            }
            await session.run("CLOSE history");
            return count;
          });
      },
      "REPEATABLE READ",
    );

  return {
    equipment: (tenant, deviceId, { names, afterId, limit }) =>
      asTenant(tenant, "read a device's sensors", async (session) => {
        const [device] = await session.rows<{
          id: number;
          equip_nome: string | null;
        }>(EQUIPMENT, [tenant, deviceId]);
        if (device === undefined) return null;
        const sensors = await session.rows<SensorRecord>(SENSORS, [
          device.id,
          afterId,
          names,
          limit,
        ]);
        return { name: device.equip_nome, sensors };
      }),

    newestTimes: (tenant, sensorIds, beforeUs, limit) =>
      asTenant(tenant, "read the newest times", async (session) => {
        const times = new Map<number, number[]>();
        let asked = sensorIds;
        for (const backUs of LOOK_BACK_US) {
          const rows = await session.rows<{
            sensor_id: number;
            time_us: string;
          }>(NEWEST_TIMES, [
            asked,
            toIso(beforeUs - backUs),
            toIso(beforeUs),
            limit,
          ]);
          for (const id of asked) times.set(id, []);
          for (const { sensor_id: id, time_us: us } of rows)
            times.get(id)!.push(Number(us));
          asked = asked.filter((id) => times.get(id)!.length < limit);
          if (asked.length === 0) break;
        }
        return times;
      }),

    buckets: (question, level, limit) =>
      asTenant(question.tenant, `read figures by ${level}`, async (session) => {
        const { sensorIds, fromUs, toUs, after } = question;
        const rows = await session.rows<AnalyticsRow>(
          `${BUCKETS[level].ofSeveral}
           ${after === null ? "" : "AND (sensor_id > $5 OR bucket > $6::timestamptz)"}
           ORDER BY sensor_id, bucket LIMIT $4`,
          [
            sensorIds.filter((id) => id >= (after?.sensorId ?? id)),
            toIso(fromUs),
            toIso(toUs),
            limit,
            ...(after === null ? [] : [after.sensorId, toIso(after.timeUs)]),
          ],
        );
        return rows.map(bucketOf);
      }),

    readings: (question, limit) =>
      asTenant(question.tenant, "read readings", async (session) => {
        const found: Reading[] = [];
        for (const { sensorId, ...span } of spans(question)) {
          await inWindows(span, HOUR_US, async (from, to) => {
            const rows = await session.rows<AnalyticsRow>(
              `${READINGS.ofOne} LIMIT $4`,
              [sensorId, from, to, limit - found.length],
            );
            for (const row of rows) found.push(readingOf(row));
            return found.length === limit ? null : rows.length;
          });
          if (found.length === limit) break;
        }
        return found;
      }),

    streamBuckets: (question, level, each) =>
      stream<Bucket>(question, BUCKETS[level], Infinity, bucketOf, each),
    streamReadings: (question, each) =>
      stream<Reading>(question, READINGS, HOUR_US, readingOf, each),
    close: () => database.close(),
  };
}

interface Span {
  readonly fromUs: number;
  readonly toUs: number;
}

/** What is left to read of each sensor. */
function spans({
  sensorIds,
  fromUs,
  toUs,
  after,
}: AnalyticsQuestion): (Span & { sensorId: number })[] {
  return sensorIds
    .filter((id) => id >= (after?.sensorId ?? id))
    .map((sensorId) => ({
      sensorId,
      fromUs:
        sensorId === after?.sensorId
          ? Math.max(fromUs, after.timeUs + 1)
          : fromUs,
      toUs,
    }));
}

/**
 * One window of time after the other, the wider the fewer rows there are. A security_barrier view is planned without regard to
 * the ORDER BY and LIMIT around it, so that the first rows of a month would be found by sorting all of the month.
 * @param read answers how many rows there were; null when it has enough
 */
async function inWindows(
  { fromUs, toUs }: Span,
  firstUs: number,
  read: (from: string, to: string) => Promise<number | null>,
): Promise<void> {
  let widthUs = firstUs;
  for (let atUs = fromUs; atUs < toUs;) {
    const endUs = Math.min(toUs, atUs + widthUs);
    const rows = await read(toIso(atUs), toIso(endUs));
    if (rows === null) return;
    if (rows < BATCH_ROWS) widthUs *= 4;
    atUs = endUs;
  }
}
