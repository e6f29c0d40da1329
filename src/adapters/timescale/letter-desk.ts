/**
 * What operators ask of the dead letters: as twinstream_writer at the command line, and as twinstream_gateway, which has one
 * tenant at a time and can move a letter's state and nothing else.
 */
import { toIso } from "../../domain/time.js";
import { UNREPLAYABLE } from "../../domain/replay.js";
import { address, TOPIC } from "../../domain/names.js";
import type { DeadLetterReason } from "../../errors.js";
import type {
  LetterCause,
  LetterDesk,
  LetterFilter,
  LetterState,
  ReplayPlace,
  StoredLetter,
} from "../../ports.js";
import { connectDatabase, type Session } from "./connect.js";
import { microsecondsOf } from "./times.js";

export interface LetterDeskOptions {
  readonly url: string;
  /** Shown in pg_stat_activity, after `twinstream`. */
  readonly name: string;
  readonly role: "twinstream_writer" | "twinstream_gateway";
  readonly poolMax: number;
}

/** $1 to $7: the filter. */
const FILTER = `
  ($1::text IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR device_id = $2) AND ($3::text IS NULL OR reason = $3)
  AND ($4::text IS NULL OR fingerprint = $4) AND ($5::bigint IS NULL OR id = $5)
  AND ($6::timestamptz IS NULL OR ts >= $6) AND ($7::timestamptz IS NULL OR ts < $7)`;
const UNSETTLED = `state IN ('open', 'replaying')`;

const CAUSES = `
  SELECT fingerprint, min(reason) AS reason, min(adapter) AS adapter, min(firmware) AS firmware, min(cause) AS cause,
         count(DISTINCT (log_topic, log_partition, log_offset))::int AS messages,
         count(DISTINCT (tenant_id, device_id))::int AS devices,
         ${microsecondsOf("min(ts)")} AS first_us, ${microsecondsOf("max(ts)")} AS last_us
  FROM ingest_errors WHERE ${FILTER} AND state = ANY ($8)
  GROUP BY fingerprint ORDER BY messages DESC, fingerprint LIMIT $9`;

const COLUMNS = `
  id, tenant_id, device_id, topic, reason, detail, fingerprint, adapter, firmware, attempts, ${microsecondsOf("ts")} AS at_us,
  log_topic, log_partition, log_offset, item, state, run, ${microsecondsOf("moved_at")} AS moved_us, payload_size, truncated`;

const LIST = `
  SELECT ${COLUMNS} FROM ingest_errors
  WHERE ${FILTER} AND state = ANY ($8) AND ($9::bigint IS NULL OR id < $9) ORDER BY id DESC LIMIT $10`;

const FIND = `SELECT ${COLUMNS}, payload FROM ingest_errors WHERE id = $2 AND ($1::text IS NULL OR tenant_id = $1)`;

const TALLY = `
  SELECT log_topic AS topic, reason, count(*)::int AS letters FROM ingest_errors
  WHERE ${FILTER} AND ${UNSETTLED} GROUP BY 1, 2 ORDER BY 1, 2`;

const REPLAYABLE = `
  SELECT log_topic, log_partition, log_offset, array_agg(id) AS ids, min(item) AS item, ${microsecondsOf("min(ts)")} AS at_us
  FROM ingest_errors
  WHERE ${FILTER} AND ${UNSETTLED} AND log_topic = '${TOPIC.data}' AND reason <> ALL ($8)
    AND ($9::int IS NULL OR (log_partition, log_offset) > ($9, $10::bigint))
  GROUP BY log_topic, log_partition, log_offset ORDER BY log_partition, log_offset LIMIT $11`;

const MARK = `
  UPDATE ingest_errors SET state = 'replaying', run = $2, moved_at = now()
  WHERE id = ANY ($3::bigint[]) AND ${UNSETTLED} AND ($1::text IS NULL OR tenant_id = $1)`;

const RUN = `
  SELECT state, count(*)::int AS letters FROM ingest_errors
  WHERE run = $2 AND ($1::text IS NULL OR tenant_id = $1) GROUP BY state`;

const DROP = `UPDATE ingest_errors SET state = 'dropped', moved_at = now() WHERE ${FILTER} AND ${UNSETTLED}`;

const ADAPTERS = `
  SELECT tenant_id, equip_uuid, adapter FROM equipments
  WHERE adapter IS NOT NULL AND ($1::text IS NULL OR tenant_id = $1)`;

const QUARANTINED = `
  SELECT tenant_id, equip_uuid, ${microsecondsOf("quarantined_until")} AS until_us FROM equipments
  WHERE quarantined_until > now() AND ($1::text IS NULL OR tenant_id = $1) ORDER BY tenant_id, equip_uuid`;

const QUARANTINE_OF = `
  SELECT ${microsecondsOf("CASE WHEN quarantined_until > now() THEN quarantined_until END")} AS until_us FROM equipments
  WHERE tenant_id = $1 AND equip_uuid = $2`;

interface LetterRow {
  id: string;
  tenant_id: string | null;
  device_id: string | null;
  topic: string;
  reason: DeadLetterReason;
  detail: string;
  fingerprint: string;
  adapter: string | null;
  firmware: string | null;
  attempts: number;
  at_us: string;
  log_topic: string;
  log_partition: number;
  log_offset: string;
  item: number;
  state: LetterState;
  run: string | null;
  moved_us: string | null;
  payload_size: number;
  truncated: boolean;
  payload: Buffer;
}

/** Connects with the first call, not here. */
export function createLetterDesk(options: LetterDeskOptions): LetterDesk {
  const database = connectDatabase({ ...options, poolMin: 0 });

  /** As this tenant, so that the gateway's role sees its rows and no others. */
  const asked = <T>(
    doing: string,
    tenant: string | null,
    work: (session: Session) => Promise<T>,
  ): Promise<T> =>
    database.transaction(doing, async (session) => {
      await session.run("SELECT set_config('app.tenant_id', $1, true)", [
        tenant ?? "",
      ]);
      return work(session);
    });

  return {
    causes: (filter, states, limit) =>
      asked("group dead letters", filter.tenant, async (session) => {
        const rows = await session.rows<
          Omit<LetterCause, "firstMs" | "lastMs"> & {
            first_us: string;
            last_us: string;
          }
        >(CAUSES, [...values(filter), states, limit]);
        return rows.map(({ first_us, last_us, ...cause }) => ({
          ...cause,
          firstMs: msOf(first_us),
          lastMs: msOf(last_us),
        }));
      }),
    list: (filter, states, { before, limit }) =>
      asked("list dead letters", filter.tenant, async (session) =>
        (
          await session.rows<LetterRow>(LIST, [
            ...values(filter),
            states,
            before,
            limit,
          ])
        ).map(letterOf),
      ),
    find: (tenant, id) =>
      asked("read a dead letter", tenant, async (session) => {
        const [row] = await session.rows<LetterRow>(FIND, [tenant, id]);
        return row === undefined
          ? null
          : { ...letterOf(row), payload: row.payload };
      }),
    tally: (filter) =>
      asked("count dead letters", filter.tenant, (session) =>
        session.rows(TALLY, values(filter)),
      ),
    replayable: (filter, after, limit) =>
      asked("read dead letters to replay", filter.tenant, async (session) => {
        const rows = await session.rows<ReplayRow>(REPLAYABLE, [
          ...values(filter),
          UNREPLAYABLE,
          after?.partition ?? null,
          after?.offset ?? null,
          limit,
        ]);
        return rows.map(replayPlace);
      }),
    markReplaying: (tenant, run, ids) =>
      asked("mark dead letters", tenant, async (session) => {
        await session.run(MARK, [tenant, run, ids]);
      }),
    run: (tenant, run) =>
      asked("read a replay", tenant, async (session) => {
        const counts = { open: 0, replaying: 0, stored: 0, dropped: 0 };
        const rows = await session.rows<{
          state: LetterState;
          letters: number;
        }>(RUN, [tenant, run]);
        for (const { state, letters } of rows) counts[state] = letters;
        return counts;
      }),
    drop: (filter) =>
      asked("drop dead letters", filter.tenant, (session) =>
        session.run(DROP, values(filter)),
      ),
    adapters: (tenant) =>
      asked("read devices' adapters", tenant, async (session) => {
        const rows = await session.rows<{
          tenant_id: string;
          equip_uuid: string;
          adapter: string;
        }>(ADAPTERS, [tenant]);
        return new Map(
          rows.map((row) => [
            address(row.tenant_id, row.equip_uuid),
            row.adapter,
          ]),
        );
      }),
    quarantined: (tenant) =>
      asked("read the quarantine", tenant, async (session) =>
        (
          await session.rows<{
            tenant_id: string;
            equip_uuid: string;
            until_us: string;
          }>(QUARANTINED, [tenant])
        ).map((row) => ({
          tenant: row.tenant_id,
          deviceId: row.equip_uuid,
          untilMs: msOf(row.until_us),
        })),
      ),
    quarantineOf: (tenant, deviceId) =>
      asked("read a device's quarantine", tenant, async (session) => {
        const [row] = await session.rows<{ until_us: string | null }>(
          QUARANTINE_OF,
          [tenant, deviceId],
        );
        return row === undefined
          ? null
          : row.until_us === null
            ? 0
            : msOf(row.until_us);
      }),
    close: () => database.close(),
  };
}

interface ReplayRow {
  log_topic: string;
  log_partition: number;
  log_offset: string;
  ids: string[];
  item: number;
  at_us: string;
}

const replayPlace = (row: ReplayRow): ReplayPlace => ({
  topic: row.log_topic,
  partition: row.log_partition,
  offset: Number(row.log_offset),
  ids: row.ids.map(Number),
  ofPoints: row.item >= 0,
  atMs: msOf(row.at_us),
});

const values = (filter: LetterFilter): unknown[] => [
  filter.tenant,
  filter.device,
  filter.reason,
  filter.fingerprint,
  filter.id,
  isoOf(filter.sinceMs),
  isoOf(filter.untilMs),
];

const isoOf = (ms: number | null): string | null =>
  ms === null ? null : toIso(ms * 1000);
const msOf = (us: string): number => Math.floor(Number(us) / 1000);

const letterOf = (row: LetterRow): StoredLetter => ({
  id: Number(row.id),
  tenant: row.tenant_id,
  device: row.device_id,
  topic: row.topic,
  reason: row.reason,
  detail: row.detail,
  fingerprint: row.fingerprint,
  adapter: row.adapter,
  firmware: row.firmware,
  attempts: row.attempts,
  atMs: msOf(row.at_us),
  place: {
    topic: row.log_topic,
    partition: row.log_partition,
    offset: Number(row.log_offset),
  },
  item: row.item,
  state: row.state,
  run: row.run,
  movedMs: row.moved_us === null ? null : msOf(row.moved_us),
  size: row.payload_size,
  truncated: row.truncated,
});
