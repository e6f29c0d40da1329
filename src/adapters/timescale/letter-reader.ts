/** Dead letters read back, newest first, for tools: every tenant's, as the writer sees them. */
import { connectDatabase } from "./connect.js";
import { microsecondsOf } from "./times.js";

export interface StoredLetter {
  readonly id: string;
  readonly tenant: string | null;
  readonly deviceId: string | null;
  /** The MQTT topic that the device used, else the log's. */
  readonly topic: string;
  /** The device's bytes; the first of them when `truncated`. */
  readonly payload: Buffer;
  readonly truncated: boolean;
  readonly reason: string;
  readonly detail: string;
  /** When it was written down, microseconds; its arrival was little before. */
  readonly writtenUs: number;
}

export interface LetterQuestion {
  readonly reasons: readonly string[];
  /** Written from then on, Unix milliseconds; null for all. */
  readonly sinceMs: number | null;
  readonly tenant: string | null;
  readonly deviceId: string | null;
  readonly limit: number;
}

/** Letters that one statement answers: at 64 KiB each at most, 16 MiB. */
const PAGE = 256;

/** Of whole records only: the letter of a single reading does not hold what the device sent. */
const WHERE = `
  item = -1 AND reason = ANY($1::text[]) AND ($2::float8 IS NULL OR ts >= to_timestamp($2))
  AND ($3::text IS NULL OR tenant_id = $3) AND ($4::text IS NULL OR device_id = $4)`;
const COUNT = `SELECT count(*)::int AS n FROM ingest_errors WHERE ${WHERE}`;
const LETTERS = `
  SELECT id, tenant_id, device_id, topic, payload, truncated, reason, detail, ${microsecondsOf("ts")} AS us
  FROM ingest_errors WHERE ${WHERE} AND ($5::bigint IS NULL OR id < $5) ORDER BY id DESC LIMIT $6`;

interface Row {
  id: string;
  tenant_id: string | null;
  device_id: string | null;
  topic: string;
  payload: Buffer;
  truncated: boolean;
  reason: string;
  detail: string;
  us: string;
}

export interface LetterReader {
  /** How many there are, `limit` aside. */
  count(question: LetterQuestion): Promise<number>;
  read(question: LetterQuestion): AsyncGenerator<StoredLetter>;
  close(): Promise<void>;
}

export function createLetterReader(url: string): LetterReader {
  const database = connectDatabase({
    url,
    name: "dead letters",
    role: "twinstream_writer",
    poolMin: 0,
    poolMax: 1,
  });
  const values = ({ reasons, sinceMs, tenant, deviceId }: LetterQuestion) => [
    reasons,
    sinceMs === null ? null : sinceMs / 1000,
    tenant,
    deviceId,
  ];
  return {
    count: (question) =>
      database.use("count dead letters", async (session) => {
        const [row] = await session.rows<{ n: number }>(
          COUNT,
          values(question),
        );
        return row!.n;
      }),
    async *read(question) {
      let before: string | null = null;
      for (let left = question.limit; left > 0;) {
        const rows: Row[] = await database.use("read dead letters", (session) =>
          session.rows<Row>(LETTERS, [
            ...values(question),
            before,
            Math.min(PAGE, left),
          ]),
        );
        for (const row of rows)
          yield {
            id: row.id,
            tenant: row.tenant_id,
            deviceId: row.device_id,
            topic: row.topic,
            payload: row.payload,
            truncated: row.truncated,
            reason: row.reason,
            detail: row.detail,
            writtenUs: Number(row.us),
          };
        if (rows.length === 0) return;
        before = rows.at(-1)!.id;
        left -= rows.length;
      }
    },
    close: () => database.close(),
  };
}
