/** The worker's side of the claims, as twinstream_writer: see upload-batch.ts for what one transaction holds. */
import { storable } from "../../domain/fault.js";
import type { Session } from "./connect.js";
import { connectDatabase } from "./connect.js";
import { storeDeadLetters } from "./dead-letters.js";
import { readFacts } from "./facts.js";
import { createPartitionKeeper } from "./partitions.js";
import { register } from "./register.js";
import { createRowWriter } from "./rows.js";
import { storeEquipments, type UploadTools } from "./upload-batch.js";
import { claimOf, type ClaimRow, COLUMNS } from "./uploads-desk.js";
import { wake } from "./wake.js";
import type { UploadClaim, UploadStore } from "../../ports.js";

export interface UploadStoreOptions {
  readonly url: string;
  /** Shown in pg_stat_activity, after `twinstream`. */
  readonly name: string;
  readonly poolMin: number;
  readonly poolMax: number;
}

/** The check of a claim on the log again (its sweeper, `reprocess`) leaves it filed where it was. */
const TAKE = `
  UPDATE claims c SET
    state = CASE WHEN c.state = 'stored' THEN 'processing' ELSE c.state END, announced = true,
    log_partition = COALESCE(c.log_partition, g.in_partition), log_offset = COALESCE(c.log_offset, g.at_offset)
  FROM unnest($1::text[], $2::int[], $3::bigint[]) AS g (id, in_partition, at_offset)
  WHERE c.claim_id = g.id
  RETURNING ${COLUMNS}`;

const REJECT = `
  UPDATE claims SET state = 'rejected', finished_at = now(), error_count = error_count + 1,
    errors = jsonb_build_array(jsonb_build_object('path', '$', 'reason', $2::text)) || errors
  WHERE claim_id = $1 AND state IN ('receiving', 'stored', 'processing')`;

const REOPEN = `
  UPDATE claims SET state = 'stored', announced = false, next_equipment = 0, equipments_total = NULL,
    equipments_stored = 0, equipments_failed = 0, readings_stored = 0, readings_duplicate = 0, readings_failed = 0,
    errors = '[]', error_count = 0, finished_at = NULL
  WHERE claim_id = $1 AND state IN ('done', 'rejected')
  RETURNING ${COLUMNS}`;

const FIND = `SELECT ${COLUMNS} FROM claims WHERE claim_id = $1`;

const LIST = `
  SELECT ${COLUMNS} FROM claims
  WHERE ($1::text IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR state = $2)
  ORDER BY claim_id DESC LIMIT $3`;

/** Connects with the first call, not here. */
export function createUploadStore(options: UploadStoreOptions): UploadStore {
  const database = connectDatabase({ ...options, role: "twinstream_writer" });
  let tools: Promise<UploadTools> | undefined;

  async function prepare(): Promise<UploadTools> {
    const facts = await database.use("read settings", readFacts);
    return {
      facts,
      rows: createRowWriter(),
      ensurePartitions:
        facts.engine === "postgresql"
          ? createPartitionKeeper(database, facts.rawRetentionDays)
          : async () => {},
    };
  }
  /** Read once; a failed read is tried again with the next transaction. */
  function uploadTools(): Promise<UploadTools> {
    tools ??= prepare().catch((error: unknown) => {
      tools = undefined;
      throw error;
    });
    return tools;
  }

  return {
    take: (claims) =>
      database.use("take claims", async (session) => {
        const rows = await session.rows<ClaimRow>(TAKE, [
          claims.map(({ claimId }) => claimId),
          claims.map(({ partition }) => partition),
          claims.map(({ offset }) => offset),
        ]);
        return new Map(rows.map((row) => [row.claim_id, claimOf(row)]));
      }),
    register: (partition, devices, sensors) =>
      register(database, partition, devices, sensors),
    wake: (devices) =>
      database.use("wake devices", (session) => wake(session, devices)),
    async store(results, finished, given) {
      const ready = await uploadTools();
      await ready.ensurePartitions(results.flatMap(({ rows }) => rows));
      return database.use("store equipments", (session) =>
        storeEquipments(session, ready, { results, finished, ...given }),
      );
    },
    reject: (letter, claimId, { clusterId, beforeCommit }) =>
      database.transaction("reject a claim", async (session) => {
        if (claimId !== null) {
          const why = storable(letter.detail);
          if ((await session.run(REJECT, [claimId, why])) === 0) return false;
        }
        await storeDeadLetters(session, [letter], clusterId);
        await beforeCommit();
        return true;
      }),
    reopen: (claimId) =>
      database.use("reopen a claim", (session) =>
        one(session, REOPEN, claimId),
      ),
    find: (claimId) =>
      database.use("read a claim", (session) => one(session, FIND, claimId)),
    list: ({ tenant, state, limit }) =>
      database.use("list claims", async (session) =>
        (await session.rows<ClaimRow>(LIST, [tenant, state, limit])).map(
          claimOf,
        ),
      ),
    close: () => database.close(),
  };
}

async function one(
  session: Session,
  statement: string,
  claimId: string,
): Promise<UploadClaim | null> {
  const [row] = await session.rows<ClaimRow>(statement, [claimId]);
  return row === undefined ? null : claimOf(row);
}
