/**
 * The gateway's side of the claims, as twinstream_gateway, whose policy on the table lets it see every tenant's: the sweeper
 * needs that. Every other statement here names its tenant.
 */
import { toIso } from "../../domain/time.js";
import { TwinstreamError } from "../../errors.js";
import type { ClaimState, UploadClaim, UploadDesk } from "../../ports.js";
import { connectDatabase, type Session } from "./connect.js";
import { microsecondsOf } from "./times.js";

export interface UploadDeskOptions {
  readonly url: string;
  readonly name: string;
  readonly poolMin: number;
  readonly poolMax: number;
}

export const COLUMNS = `claim_id, tenant_id, user_id, request_id, object_key, storage_type, state, idempotency_key, file_size,
  original_size, sha256, announced, next_equipment, equipments_total, equipments_stored, equipments_failed,
  readings_stored, readings_duplicate, readings_failed, errors,
  ${microsecondsOf("received_at")} AS received_us, ${microsecondsOf("finished_at")} AS finished_us`;

/** NULLs differ from one another, so only an idempotency key can meet another. */
const BEGIN = `
  INSERT INTO claims (claim_id, tenant_id, user_id, request_id, object_key, storage_type, state, idempotency_key, received_at)
  VALUES ($1, $2, $3, $4, $5, $6, 'receiving', $7, $8)
  ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
  RETURNING ${COLUMNS}`;

const OF_KEY = `SELECT ${COLUMNS} FROM claims WHERE tenant_id = $1 AND idempotency_key = $2`;

const STORED = `
  UPDATE claims SET state = 'stored', file_size = $3, original_size = $4, sha256 = $5
  WHERE tenant_id = $1 AND claim_id = $2 AND state = 'receiving'`;

const ANNOUNCED = `UPDATE claims SET announced = true WHERE tenant_id = $1 AND claim_id = $2`;

const FORGET = `DELETE FROM claims WHERE tenant_id = $1 AND claim_id = $2 AND state = 'receiving'`;

const FIND = `SELECT ${COLUMNS} FROM claims WHERE tenant_id = $1 AND claim_id = $2`;

/** Ids are ULIDs, whose order is that of their making. */
const LIST = `
  SELECT ${COLUMNS} FROM claims
  WHERE tenant_id = $1 AND state <> 'receiving' AND ($2::text IS NULL OR claim_id < $2)
  ORDER BY claim_id DESC LIMIT $3`;

const LEFT = `
  SELECT ${COLUMNS} FROM claims
  WHERE (state = 'receiving' OR (state = 'stored' AND NOT announced)) AND received_at < $1
  ORDER BY received_at LIMIT $2`;

const NEEDED = `
  SELECT object_key FROM claims
  WHERE object_key = ANY ($1::text[]) AND state IN ('receiving', 'stored', 'processing')`;

/** Tries of `begin` when the claim it met was forgotten before it could be read. */
const BEGIN_TRIES = 5;

/** Connects with the first call, not here. */
export function createUploadDesk(options: UploadDeskOptions): UploadDesk {
  const database = connectDatabase({ ...options, role: "twinstream_gateway" });
  return {
    begin: (claim) =>
      database.use("begin an upload", (session) => begin(session, claim)),
    stored: (tenant, claimId, { fileSize, originalSize, sha256 }) =>
      database.use("note a complete upload", async (session) => {
        const values = [tenant, claimId, fileSize, originalSize, sha256];
        if ((await session.run(STORED, values)) === 0)
          throw new TwinstreamError(
            "STORE_REFUSED",
            `claim ${claimId} was swept while its upload was arriving`,
          );
      }),
    announced: (tenant, claimId) =>
      database.use("note a claim check", async (session) => {
        await session.run(ANNOUNCED, [tenant, claimId]);
      }),
    forget: (tenant, claimId) =>
      database.use(
        "forget an upload",
        async (session) => (await session.run(FORGET, [tenant, claimId])) > 0,
      ),
    find: (tenant, claimId) =>
      database.use("read a claim", (session) =>
        one(session, FIND, [tenant, claimId]),
      ),
    list: (tenant, { before, limit }) =>
      database.use("read claims", async (session) => {
        const values = [tenant, before, limit];
        return (await session.rows<ClaimRow>(LIST, values)).map(claimOf);
      }),
    left: (beforeMs, limit) =>
      database.use("read unfinished uploads", async (session) => {
        const rows = await session.rows<ClaimRow>(LEFT, [iso(beforeMs), limit]);
        return rows.map(claimOf);
      }),
    needed: (keys) =>
      database.use("read which objects are needed", async (session) => {
        const rows = await session.rows<{ object_key: string }>(NEEDED, [keys]);
        return new Set(rows.map((row) => row.object_key));
      }),
    alone: (work) =>
      database.use("sweep uploads", async (session) => {
        const [lock] = await session.rows<{ mine: boolean }>(
          "SELECT pg_try_advisory_lock(hashtext('twinstream.uploads')) AS mine",
        );
        if (lock?.mine !== true) return false;
        // A failure costs this connection, and with it the lock.
        await work();
        await session.run(
          "SELECT pg_advisory_unlock(hashtext('twinstream.uploads'))",
        );
        return true;
      }),
    ping: async () => {
      await database.use("ping", (session) =>
        session.run("SELECT FROM claims LIMIT 1"),
      );
    },
    close: () => database.close(),
  };
}

async function begin(
  session: Session,
  claim: Parameters<UploadDesk["begin"]>[0],
): ReturnType<UploadDesk["begin"]> {
  for (let tries = 0; tries < BEGIN_TRIES; tries++) {
    const begun = await one(session, BEGIN, [
      claim.claimId,
      claim.tenant,
      claim.userId,
      claim.requestId,
      claim.key,
      claim.storageType,
      claim.idempotencyKey,
      iso(claim.receivedMs),
    ]);
    if (begun !== null) return { begun: true, claim: begun };
    const values = [claim.tenant, claim.idempotencyKey];
    const earlier = await one(session, OF_KEY, values);
    if (earlier !== null) return { begun: false, claim: earlier };
  }
  throw new TwinstreamError(
    "STORE_UNREACHABLE",
    "uploads with this idempotency key begin and break off too quickly to tell which is which",
  );
}

async function one(
  session: Session,
  statement: string,
  values: readonly unknown[],
): Promise<UploadClaim | null> {
  const [row] = await session.rows<ClaimRow>(statement, values);
  return row === undefined ? null : claimOf(row);
}

const iso = (ms: number): string => toIso(ms * 1000);

/** The driver hands bigint over as text. */
export interface ClaimRow {
  claim_id: string;
  tenant_id: string;
  user_id: string;
  request_id: string;
  object_key: string;
  storage_type: UploadClaim["storageType"];
  state: ClaimState;
  idempotency_key: string | null;
  file_size: string;
  original_size: string;
  sha256: string;
  announced: boolean;
  next_equipment: number;
  equipments_total: number | null;
  equipments_stored: number;
  equipments_failed: number;
  readings_stored: string;
  readings_duplicate: string;
  readings_failed: string;
  errors: UploadClaim["errors"];
  received_us: string;
  finished_us: string | null;
}

export function claimOf(row: ClaimRow): UploadClaim {
  return {
    claimId: row.claim_id,
    tenant: row.tenant_id,
    userId: row.user_id,
    requestId: row.request_id,
    key: row.object_key,
    storageType: row.storage_type,
    state: row.state,
    idempotencyKey: row.idempotency_key,
    fileSize: Number(row.file_size),
    originalSize: Number(row.original_size),
    sha256: row.sha256,
    announced: row.announced,
    nextEquipment: row.next_equipment,
    equipments: {
      total: row.equipments_total,
      stored: row.equipments_stored,
      failed: row.equipments_failed,
    },
    readings: {
      stored: Number(row.readings_stored),
      duplicate: Number(row.readings_duplicate),
      failed: Number(row.readings_failed),
    },
    errors: row.errors,
    receivedMs: Number(row.received_us) / 1000,
    finishedMs:
      row.finished_us === null ? null : Number(row.finished_us) / 1000,
  };
}
