/**
 * The least that stores what the processor stores: eachBatch → JSON.parse → the same keys in Redis, coalesced → the same rows by
 * binary COPY → the offset. No actors, no validation, no fence, no dead letters, no presence messages, nothing kept in case of
 * failure. Its own RESP and COPY bytes, so that what the program's encoders gain or lose shows in the ratio.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { Kafka, logLevel } from "kafkajs";
import pg from "pg";
import { from as copyFrom } from "pg-copy-streams";

const { KAFKA_BROKERS, REDIS_URL, DATABASE_URL, PROCESSOR_GROUP } =
  process.env as Record<string, string>;
interface Point {
  readonly name: string;
  readonly t: string;
  readonly v: number;
  readonly u: string;
}
interface Envelope {
  readonly device_id: string;
  readonly payload: { readonly ts: string; readonly points: readonly Point[] };
  readonly timestamp: number;
}
interface Told {
  readonly ms: number;
  readonly text: string;
  readonly offset: string;
  readonly envelope: Envelope;
}

const HISTORY_SECONDS = 18_000;
const EPOCH_2000_MS = 946_684_800_000;
const ROW_BYTES = 2 + 12 + 8 + 12 + 4;
const pool = new pg.Pool({ connectionString: DATABASE_URL!, max: 12 });
const address = new URL(REDIS_URL!);
const redis = connect(Number(address.port), address.hostname).setNoDelay();
const answers: { due: number; done: () => void }[] = [];
// Every command used here answers with an integer: a line each.
redis.on("data", (chunk: Buffer) => {
  for (const byte of chunk) {
    if (byte === 45) throw new Error(chunk.toString());
    if (byte === 10 && --answers[0]!.due === 0) answers.shift()!.done();
  }
});

const bulk = (text: string): string =>
  `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
const command = (...args: readonly string[]): string =>
  `*${args.length}\r\n${args.map(bulk).join("")}`;

async function show(
  devices: ReadonlyMap<string, readonly Told[]>,
): Promise<void> {
  const out: string[] = [];
  const online: string[] = [];
  const cutoff = `(${Date.now() / 1000 - HISTORY_SECONDS}`;
  for (const [id, told] of devices) {
    const last = told.at(-1)!;
    const key = `device:history:${id}`;
    out.push(
      command(
        "ZADD",
        key,
        ...told.flatMap(({ ms, text }) => [String(ms / 1000), text]),
      ),
      command("ZREMRANGEBYSCORE", key, "-inf", cutoff),
      command("EXPIRE", key, String(HISTORY_SECONDS)),
      command(
        "HSET",
        `device:last_state:${id}`,
        "order",
        String(last.ms * 1000),
        "offset",
        last.offset,
        "payload",
        JSON.stringify(last.envelope.payload),
        "timestamp",
        String(last.ms / 1000),
      ),
      ...told.map(({ text }) =>
        command("PUBLISH", `device-updates:${id}`, text),
      ),
    );
    online.push(String(last.envelope.timestamp), id);
  }
  out.push(command("ZADD", "devices:online", "GT", ...online));
  await new Promise<void>((done) => {
    answers.push({ due: out.length, done });
    redis.write(out.join(""));
  });
}

/** Ids of sensors by device and point. */
const sensors = new Map<string, Map<string, number>>();

async function register(
  db: pg.PoolClient,
  partition: number,
  devices: ReadonlyMap<string, readonly Told[]>,
): Promise<void> {
  const fresh = [...devices.keys()].filter((id) => !sensors.has(id));
  if (fresh.length === 0) return;
  const points = fresh.flatMap((id) =>
    devices
      .get(id)![0]!
      .envelope.payload.points.map((point) => ({ id, ...point })),
  );
  const { rows } = await db.query<{
    id: number;
    equip_uuid: string;
    sensor_uuid: string;
  }>(
    `WITH made AS (
       INSERT INTO equipments (tenant_id, equip_uuid, log_partition, online, last_seen)
       SELECT 'default', id, $1, true, now() FROM unnest($2::text[]) AS id RETURNING id, equip_uuid
     ), known AS (
       INSERT INTO sensors (equipment_id, tenant_id, sensor_uuid, sensor_tipo, type_class, unit)
       SELECT made.id, 'default', name, t, 'num', u
       FROM unnest($3::text[], $4::text[], $5::text[], $6::text[]) AS point (uuid, name, t, u) JOIN made ON equip_uuid = uuid
       RETURNING id, equipment_id, sensor_uuid
     ) SELECT known.id, equip_uuid, sensor_uuid FROM known JOIN made ON made.id = equipment_id`,
    [
      partition,
      fresh,
      ...(["id", "name", "t", "u"] as const).map((field) =>
        points.map((point) => point[field]),
      ),
    ],
  );
  for (const id of fresh) sensors.set(id, new Map());
  for (const row of rows)
    sensors.get(row.equip_uuid)!.set(row.sensor_uuid, row.id);
}

function rowsOf(devices: ReadonlyMap<string, readonly Told[]>): Buffer {
  let rows = 0;
  for (const told of devices.values())
    for (const { envelope } of told) rows += envelope.payload.points.length;
  const bytes = Buffer.allocUnsafe(19 + rows * ROW_BYTES + 2);
  let at = bytes.write("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", "latin1");
  for (const [id, told] of devices) {
    const ids = sensors.get(id)!;
    for (const { ms, envelope } of told)
      for (const { name, v } of envelope.payload.points) {
        at = bytes.writeInt16BE(4, at);
        at = bytes.writeInt32BE(8, at);
        at = bytes.writeBigInt64BE(BigInt((ms - EPOCH_2000_MS) * 1000), at);
        at = bytes.writeInt32BE(4, at);
        at = bytes.writeInt32BE(ids.get(name)!, at);
        at = bytes.writeInt32BE(8, at);
        at = bytes.writeDoubleBE(v, at);
        at = bytes.writeInt32BE(-1, at);
      }
  }
  bytes.writeInt16BE(-1, at);
  return bytes;
}

async function store(
  partition: number,
  devices: ReadonlyMap<string, readonly Told[]>,
): Promise<void> {
  const db = await pool.connect();
  await register(db, partition, devices);
  await db.query("BEGIN");
  const copy = db.query(
    copyFrom(
      "COPY store.telemetry_data (time, sensor_id, value, text_value) FROM STDIN (FORMAT binary)",
    ),
  );
  copy.end(rowsOf(devices));
  await once(copy, "finish");
  await db.query("COMMIT");
  db.release();
}

const kafka = new Kafka({
  brokers: [KAFKA_BROKERS!],
  clientId: "bare",
  logLevel: logLevel.ERROR,
});
const consumer = kafka.consumer({
  groupId: PROCESSOR_GROUP!,
  maxBytesPerPartition: 5 * 2 ** 20,
  maxBytes: 16 * 2 ** 20,
  maxWaitTimeInMs: 100,
});
await consumer.connect();
await consumer.subscribe({ topics: ["iot-data"], fromBeginning: true });
await consumer.run({
  autoCommit: false,
  partitionsConsumedConcurrently: 12,
  async eachBatch({ batch: { topic, partition, messages } }) {
    const devices = new Map<string, Told[]>();
    for (const { value, offset } of messages) {
      const envelope = JSON.parse(value!.toString()) as Envelope;
      const ms = Date.parse(envelope.payload.ts);
      const text = JSON.stringify({ ...envelope, timestamp: ms / 1000 });
      const told = devices.get(envelope.device_id);
      if (told === undefined)
        devices.set(envelope.device_id, [{ ms, text, offset, envelope }]);
      else told.push({ ms, text, offset, envelope });
    }
    await Promise.all([show(devices), store(partition, devices)]);
    const next = String(BigInt(messages.at(-1)!.offset) + 1n);
    await consumer.commitOffsets([{ topic, partition, offset: next }]);
  },
});
process.once("SIGTERM", () => process.exit(0));
