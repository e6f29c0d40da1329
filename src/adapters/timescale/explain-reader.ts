/** What the database knows of one reading: as twinstream_reader, within its tenant, by the indexes of each table. */
import pg from "pg";
import type { SensorFacts } from "../../domain/explanation.js";
import type { TypeClass } from "../../domain/message.js";
import { toIso } from "../../domain/time.js";
import type { ExplainReader } from "../../ports.js";
import { connectDatabase, type Session } from "./connect.js";
import { microsecondsOf } from "./times.js";

const HOUR_US = 3_600_000_000;
/** How far the nearest readings are looked for, each further only where nothing was nearer. */
const NEAR_US = [1, 24, 8 * 24].map((hours) => hours * HOUR_US);

const DEVICE =
  "SELECT id, adapter FROM equipments WHERE tenant_id = $1 AND equip_uuid = $2";
const SENSORS =
  "SELECT id, type_class FROM sensors WHERE equipment_id = $1 AND sensor_uuid = $2 ORDER BY id";
const ROW = `
  SELECT value, text_value, ${microsecondsOf("reading_stored_at(sensor_id, time)")} AS stored_us
  FROM telemetry_data WHERE sensor_id = $1 AND time = $2::timestamptz LIMIT 1`;
const EARLIER = `
  SELECT ${microsecondsOf("max(time)")} AS us FROM telemetry_data
  WHERE sensor_id = $1 AND time >= $2::timestamptz AND time < $3::timestamptz`;
const LATER = `
  SELECT ${microsecondsOf("min(time)")} AS us FROM telemetry_data
  WHERE sensor_id = $1 AND time > $2::timestamptz AND time <= $3::timestamptz`;
const STORED =
  "SELECT next_offset FROM stream_offsets WHERE topic = $1 AND partition = $2";
const LETTERS = `
  SELECT id, log_topic, log_partition, log_offset, item, reason, detail, ${microsecondsOf("ts")} AS stored_us
  FROM unnest($1::text[], $2::int[], $3::bigint[]) AS g (log_topic, log_partition, log_offset)
  JOIN ingest_errors USING (log_topic, log_partition, log_offset)
  ORDER BY log_offset, item`;

/** Connects with the first call, not here. */
export function createExplainReader(options: {
  url: string;
  name: string;
  poolMax: number;
}): ExplainReader {
  const database = connectDatabase({
    ...options,
    role: "twinstream_reader",
    poolMin: 0,
  });

  const asTenant = <T>(
    tenant: string,
    doing: string,
    work: (session: Session) => Promise<T>,
  ): Promise<T> =>
    database.use(doing, async (session) => {
      await session.run(
        `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL app.tenant_id = ${pg.escapeLiteral(tenant)}`,
      );
      const answer = await work(session);
      await session.run("COMMIT");
      return answer;
    });

  return {
    adapterOf: (tenant, deviceId) =>
      asTenant(tenant, "look for a device's adapter", async (session) => {
        const [device] = await session.rows<{ adapter: string | null }>(
          DEVICE,
          [tenant, deviceId],
        );
        return device?.adapter ?? null;
      }),

    reading: ({ tenant, deviceId, point, atUs }, { topic, partition }) =>
      asTenant(tenant, "look for a reading", async (session) => {
        const [lane] = await session.rows<{ next_offset: string }>(STORED, [
          topic,
          partition,
        ]);
        const nextOffset = Number(lane?.next_offset ?? -1);
        const [device] = await session.rows<{ id: number }>(DEVICE, [
          tenant,
          deviceId,
        ]);
        if (device === undefined)
          return { deviceKnown: false, sensors: [], nextOffset };
        const known = await session.rows<{ id: number; type_class: TypeClass }>(
          SENSORS,
          [device.id, point],
        );
        const sensors: SensorFacts[] = [];
        for (const { id, type_class: typeClass } of known)
          sensors.push({
            typeClass,
            row: await rowOf(session, id, atUs),
            earlierUs: await nearest(session, EARLIER, id, (us) => [
              atUs - us,
              atUs,
            ]),
            laterUs: await nearest(session, LATER, id, (us) => [
              atUs,
              atUs + us,
            ]),
          });
        return { deviceKnown: true, sensors, nextOffset };
      }),

    letters: (tenant, places) =>
      asTenant(tenant, "look for dead letters", async (session) => {
        const rows = await session.rows<{
          id: string;
          log_topic: string;
          log_partition: number;
          log_offset: string;
          item: number;
          reason: string;
          detail: string;
          stored_us: string;
        }>(LETTERS, [
          places.map(({ topic }) => topic),
          places.map(({ partition }) => partition),
          places.map(({ offset }) => offset),
        ]);
        return rows.map((row) => ({
          id: Number(row.id),
          topic: row.log_topic,
          partition: row.log_partition,
          offset: Number(row.log_offset),
          item: row.item,
          reason: row.reason,
          detail: row.detail,
          storedUs: Number(row.stored_us),
        }));
      }),
    close: () => database.close(),
  };
}

async function rowOf(
  session: Session,
  sensorId: number,
  atUs: number,
): Promise<SensorFacts["row"]> {
  const [row] = await session.rows<{
    value: number | null;
    text_value: string | null;
    stored_us: string | null;
  }>(ROW, [sensorId, toIso(atUs)]);
  if (row === undefined) return null;
  const storedUs = row.stored_us === null ? null : Number(row.stored_us);
  return { value: row.value, text: row.text_value, storedUs };
}

/** @param span its ends, so many microseconds wide */
async function nearest(
  session: Session,
  statement: string,
  sensorId: number,
  span: (us: number) => readonly [number, number],
): Promise<number | null> {
  for (const width of NEAR_US) {
    const [from, to] = span(width);
    const [found] = await session.rows<{ us: string | null }>(statement, [
      sensorId,
      toIso(from),
      toIso(to),
    ]);
    if (found?.us !== null && found?.us !== undefined) return Number(found.us);
  }
  return null;
}
