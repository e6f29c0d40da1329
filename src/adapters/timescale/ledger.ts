/**
 * Look-ups of the check of the log against the database: some thousands of keys in one statement, by the unique index of
 * each table. Ids of sensors are asked for once and kept, since they never change.
 */
import type {
  AckKey,
  CommandKey,
  EventKey,
  LedgerStore,
  ReadingKey,
  LedgerLetter,
  StoredReading,
} from "../../ports.js";
import { toIso } from "../../domain/time.js";
import { connectDatabase, type Session } from "./connect.js";
import { readStanding } from "./ledger-standing.js";

const DAY_US = 86_400_000_000;
/** Ids of sensors that are kept at most: some 100 bytes each. */
const SENSORS_KEPT = 200_000;
/** Readings in one statement, and from how many on a statement keeps to one day. */
const MOST_READINGS = 10_000;
const FEW_READINGS = 200;

const SENSORS = `
  SELECT g.ordinal, s.id
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
    AS g (tenant_id, equip_uuid, type_class, sensor_uuid, ordinal)
  JOIN equipments e ON e.tenant_id = g.tenant_id AND e.equip_uuid = g.equip_uuid
  JOIN sensors s ON s.equipment_id = e.id AND s.type_class = g.type_class AND s.sensor_uuid = g.sensor_uuid`;

/**
 * LATERAL with LIMIT: one look into the unique index a reading, whatever the planner thinks. Microseconds times an interval of
 * one are exact (below 2^53), and the span of all times leaves the planner only the chunks that it touches.
 */
const READINGS = `
  SELECT g.ordinal, d.value, d.text_value
  FROM unnest($1::int[], $2::bigint[]) WITH ORDINALITY AS g (sensor_id, us, ordinal)
  CROSS JOIN LATERAL (
    SELECT r.value, r.text_value FROM store.telemetry_data r
    WHERE r.sensor_id = g.sensor_id AND r.time = timestamptz 'epoch' + g.us * interval '1 microsecond'
      AND r.time >= $3::timestamptz AND r.time <= $4::timestamptz
    LIMIT 2
  ) d`;

const LETTERS = `
  SELECT log_topic, log_partition, log_offset, item, reason FROM ingest_errors
  WHERE log_topic = $1 AND log_partition = $2 AND log_offset >= $3 AND log_offset < $4
    AND cluster_id IS NOT DISTINCT FROM $5`;

const LETTERS_AT = `
  SELECT log_topic, log_partition, log_offset, item, reason
  FROM unnest($1::text[], $2::int[], $3::bigint[]) AS g (log_topic, log_partition, log_offset)
  JOIN ingest_errors e USING (log_topic, log_partition, log_offset)
  WHERE e.cluster_id IS NOT DISTINCT FROM $4`;

const EVENTS = `
  SELECT g.ordinal
  FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[]) WITH ORDINALITY
    AS g (tenant_id, equip_uuid, time, hash, ordinal)
  JOIN equipments e USING (tenant_id, equip_uuid)
  JOIN events v ON v.equipment_id = e.id AND v.time = g.time AND v.hash = g.hash`;

/** Of differing acks the one with the smallest (ts_exec, hash) stands. */
const ACKS = `
  SELECT g.ordinal
  FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[]) WITH ORDINALITY
    AS g (tenant_id, device_id, cmd_id, ts_exec, hash, ordinal)
  JOIN cmd_ack a USING (tenant_id, device_id, cmd_id)
  WHERE (a.ts_exec, a.hash COLLATE "C") <= (g.ts_exec, g.hash COLLATE "C")`;

const COMMANDS = `
  SELECT g.ordinal
  FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS g (tenant_id, device_id, cmd_id, ordinal)
  JOIN commands c USING (cmd_id, tenant_id, device_id)`;

/** Connects with the first call, not here. @param connections how many partitions are checked at once */
export function createLedgerStore(options: {
  url: string;
  connections: number;
}): LedgerStore {
  const database = connectDatabase({
    url: options.url,
    name: "ledger",
    role: "twinstream_writer",
    poolMin: 0,
    poolMax: options.connections,
  });
  const sensorIds = new Map<string, number>();

  /** Which of the keys a statement found: it answers their ordinals, from 1 on. */
  const found = <K>(
    doing: string,
    statement: string,
    keys: readonly K[],
    columns: readonly ((key: K) => unknown)[],
  ): Promise<boolean[]> =>
    database.use(doing, async (session) => {
      const there = keys.map(() => false);
      const rows = await session.rows<{ ordinal: string }>(
        statement,
        columns.map((column) => keys.map(column)),
      );
      for (const { ordinal } of rows) there[Number(ordinal) - 1] = true;
      return there;
    });

  /** Null where there is no such sensor. */
  async function idsOf(
    session: Session,
    keys: readonly ReadingKey[],
  ): Promise<(number | null)[]> {
    const names = keys.map(nameOf);
    const unknown = new Map<string, ReadingKey>();
    for (const [i, name] of names.entries())
      if (!sensorIds.has(name)) unknown.set(name, keys[i]!);
    const fresh = new Map<string, number>();
    if (unknown.size > 0) {
      const asked = [...unknown.entries()];
      const rows = await session.rows<{ ordinal: string; id: number }>(
        SENSORS,
        [
          asked.map(([, key]) => key.tenant),
          asked.map(([, key]) => key.deviceId),
          asked.map(([, key]) => key.typeClass),
          asked.map(([, key]) => key.name),
        ],
      );
      for (const { ordinal, id } of rows)
        fresh.set(asked[Number(ordinal) - 1]![0], id);
    }
    const ids = names.map(
      (name) => sensorIds.get(name) ?? fresh.get(name) ?? null,
    );
    if (sensorIds.size + fresh.size > SENSORS_KEPT) sensorIds.clear();
    for (const [name, id] of fresh) sensorIds.set(name, id);
    return ids;
  }

  return {
    standing: (nowMs) =>
      database.use("read what is stored", (session) =>
        readStanding(session, nowMs),
      ),

    readings: (keys) =>
      database.use("look for readings", async (session) => {
        const answer: (StoredReading | null)[] = keys.map(() => null);
        const ids = await idsOf(session, keys);
        const asked: Asked[] = [];
        for (const [i, { timeUs }] of keys.entries()) {
          const sensorId = ids[i];
          if (sensorId !== null && sensorId !== undefined)
            asked.push({ at: i, sensorId, timeUs });
        }
        for (const piece of pieces(asked)) {
          const rows = await session.rows<{
            ordinal: string;
            value: number | null;
            text_value: string | null;
          }>(READINGS, [
            `{${piece.map(({ sensorId }) => sensorId).join(",")}}`,
            `{${piece.map(({ timeUs }) => timeUs).join(",")}}`,
            toIso(piece[0]!.timeUs),
            toIso(piece.at(-1)!.timeUs),
          ]);
          for (const { ordinal, value, text_value: text } of rows) {
            const { at } = piece[Number(ordinal) - 1]!;
            answer[at] = { value, text, doubled: answer[at] !== null };
          }
        }
        return answer;
      }),

    letters: ({ topic, partition, from, to }, clusterId) =>
      database.use("look for dead letters", async (session) =>
        (
          await session.rows<LetterRow>(LETTERS, [
            topic,
            partition,
            from,
            to,
            clusterId,
          ])
        ).map(letterOf),
      ),

    lettersAt: (places, clusterId) =>
      database.use("look for dead letters", async (session) =>
        (
          await session.rows<LetterRow>(LETTERS_AT, [
            places.map(({ topic }) => topic),
            places.map(({ partition }) => partition),
            places.map(({ offset }) => offset),
            clusterId,
          ])
        ).map(letterOf),
      ),

    events: (keys) =>
      found<EventKey>("look for events", EVENTS, keys, [
        (key) => key.tenant,
        (key) => key.deviceId,
        (key) => toIso(key.timeUs),
        (key) => key.hash,
      ]),
    acks: (keys) =>
      found<AckKey>("look for acks", ACKS, keys, [
        (key) => key.tenant,
        (key) => key.deviceId,
        (key) => key.cmdId,
        (key) => toIso(key.execUs),
        (key) => key.hash,
      ]),
    commands: (keys) =>
      found<CommandKey>("look for commands", COMMANDS, keys, [
        (key) => key.tenant,
        (key) => key.deviceId,
        (key) => key.cmdId,
      ]),
    close: () => database.close(),
  };
}

// A name comes last, since it alone may hold a slash.
const nameOf = ({ tenant, deviceId, typeClass, name }: ReadingKey): string =>
  `${tenant}/${deviceId}/${typeClass}/${name}`;

interface Asked {
  /** Index in what was asked. */
  readonly at: number;
  readonly sensorId: number;
  readonly timeUs: number;
}

/** By time, in pieces that each touch few chunks: cut at midnight, unless there is little in them yet. */
function pieces(asked: Asked[]): Asked[][] {
  asked.sort((a, b) => a.timeUs - b.timeUs);
  const cut: Asked[][] = [];
  let piece: Asked[] = [];
  for (const one of asked) {
    const last = piece.at(-1);
    const full =
      piece.length >= MOST_READINGS ||
      (piece.length >= FEW_READINGS &&
        dayOf(one.timeUs) !== dayOf(last!.timeUs));
    if (full) {
      cut.push(piece);
      piece = [];
    }
    piece.push(one);
  }
  if (piece.length > 0) cut.push(piece);
  return cut;
}

const dayOf = (us: number): number => Math.floor(us / DAY_US);

interface LetterRow {
  log_topic: string;
  log_partition: number;
  log_offset: string;
  item: number;
  reason: string;
}

const letterOf = (row: LetterRow): LedgerLetter => ({
  topic: row.log_topic,
  partition: row.log_partition,
  offset: Number(row.log_offset),
  item: row.item,
  reason: row.reason,
});
