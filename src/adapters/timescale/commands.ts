/**
 * Commands and acks within a flush. Requests are inserted (a request seen before changes nothing); then the touched commands
 * are locked and read, their lives decided in `command-life.ts`, and written back in one statement: sendings first, then the
 * devices' answers, then expiry. Every ack is kept, one row a command, whatever becomes of it.
 */
import type { AckMessage, CommandRequest } from "../../domain/message.js";
import type { StoreChange } from "../../domain/device.js";
import type { CommandChange, CommandState, Flush } from "../../ports.js";
import {
  type CommandLife,
  hasEnded,
  type KeptAck,
  liveOn,
} from "./command-life.js";
import { type Session, storable } from "./connect.js";
import { toIso } from "../../domain/time.js";

export interface StoredCommands {
  /** Inserted by this flush. */
  readonly queued: CommandRequest[];
  readonly ended: { cmdId: string; state: CommandState }[];
}

const INSERT = `
  INSERT INTO commands (cmd_id, tenant_id, device_id, log_partition, op, params, extra, requested_by, queue, state,
                        created_at, expires_at, history)
  SELECT r.cmd_id, r.tenant_id, r.device_id, $1, r.op, r.params, r.extra, r.requested_by, r.queue, 'queued',
         r.created_at, r.expires_at,
         jsonb_build_array(
           jsonb_build_object('state', 'accepted', 'at', r.created_text, 'evidence', 'log'),
           jsonb_build_object('state', 'queued', 'at', $2::text, 'evidence', 'row'))
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::json[], $8::json[], $9::text[], $10::boolean[],
              $11::timestamptz[], $12::timestamptz[], $13::text[])
    AS r (cmd_id, tenant_id, device_id, op, params, extra, requested_by, queue, created_at, expires_at, created_text)
  ORDER BY r.cmd_id
  ON CONFLICT (cmd_id) DO NOTHING
  RETURNING cmd_id`;

const LOCK = `
  SELECT cmd_id, tenant_id, device_id, state, ok, err FROM commands
  WHERE cmd_id = ANY ($1::text[]) ORDER BY cmd_id FOR UPDATE`;

const UPDATE = `
  UPDATE commands c
  SET state = u.state, ok = u.ok, err = u.err, history = c.history || u.added, updated_at = now()
  FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::jsonb[]) AS u (cmd_id, state, ok, err, added)
  WHERE c.cmd_id = u.cmd_id AND c.state NOT IN ('acked', 'failed', 'expired')`;

const KEEP_ACKS = `
  INSERT INTO cmd_ack AS a (tenant_id, device_id, cmd_id, ok, ts_exec, err, hash, late, known, received_at)
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::timestamptz[], $6::text[], $7::text[],
                       $8::boolean[], $9::boolean[], $10::timestamptz[])
  ON CONFLICT (tenant_id, device_id, cmd_id) DO UPDATE
  SET ok = excluded.ok, ts_exec = excluded.ts_exec, err = excluded.err, hash = excluded.hash,
      late = excluded.late, known = excluded.known, received_at = excluded.received_at
  WHERE (excluded.ts_exec, excluded.hash COLLATE "C") < (a.ts_exec, a.hash COLLATE "C")`;

export async function storeCommands(
  session: Session,
  flush: Flush,
): Promise<StoredCommands> {
  const queued = await insertRequests(session, flush);
  const acks = flush.changes.flatMap((change) => change.acks);
  if (acks.length === 0 && flush.commandChanges.length === 0)
    return { queued, ended: [] };
  const lives = await lockLives(session, acks, flush.commandChanges);
  const kept = liveOn(lives, flush.commandChanges, acks);
  await writeLives(session, lives);
  await keepAcks(session, kept);
  const ended = [...lives]
    .filter(([, life]) => life.added.length > 0 && hasEnded(life.state))
    .map(([cmdId, life]) => ({ cmdId, state: life.state }));
  return { queued, ended };
}

async function insertRequests(
  session: Session,
  flush: Flush,
): Promise<CommandRequest[]> {
  const requests = flush.changes.flatMap((change: StoreChange) =>
    change.commands.map((request) => ({ device: change.device, request })),
  );
  if (requests.length === 0) return [];
  const rows = await session.rows<{ cmd_id: string }>(INSERT, [
    flush.partition,
    new Date().toISOString(),
    requests.map(({ request }) => request.cmdId),
    requests.map(({ device }) => device.tenant),
    requests.map(({ device }) => device.deviceId),
    requests.map(({ request }) => storable(request.op)),
    requests.map(({ request }) =>
      request.params === undefined ? null : JSON.stringify(request.params),
    ),
    requests.map(({ request }) => JSON.stringify(request.extra)),
    requests.map(({ request }) => storable(request.by)),
    requests.map(({ request }) => request.queue),
    requests.map(({ request }) => toIso(request.createdUs)),
    requests.map(({ request }) => toIso(request.expiresUs)),
    requests.map(({ request }) => toIso(request.createdUs)),
  ]);
  const inserted = new Set(rows.map((row) => row.cmd_id));
  // A request that stands twice in one flush is inserted, and sent, once.
  return requests
    .map(({ request }) => request)
    .filter((request) => inserted.delete(request.cmdId));
}

async function lockLives(
  session: Session,
  acks: readonly AckMessage[],
  changes: readonly CommandChange[],
): Promise<Map<string, CommandLife>> {
  const touched = new Set<string>();
  for (const { cmdId } of acks) touched.add(storable(cmdId));
  for (const { cmdId } of changes) touched.add(storable(cmdId));
  const rows = await session.rows<{
    cmd_id: string;
    tenant_id: string;
    device_id: string;
    state: CommandState;
    ok: boolean | null;
    err: string | null;
  }>(LOCK, [[...touched]]);
  return new Map(
    rows.map((row) => [
      row.cmd_id,
      {
        tenant: row.tenant_id,
        deviceId: row.device_id,
        state: row.state,
        ok: row.ok,
        err: row.err,
        added: [],
      },
    ]),
  );
}

async function writeLives(
  session: Session,
  lives: ReadonlyMap<string, CommandLife>,
): Promise<void> {
  const changed = [...lives].filter(([, life]) => life.added.length > 0);
  if (changed.length === 0) return;
  await session.run(UPDATE, [
    changed.map(([cmdId]) => cmdId),
    changed.map(([, life]) => life.state),
    changed.map(([, life]) => life.ok),
    changed.map(([, life]) => (life.err === null ? null : storable(life.err))),
    changed.map(([, life]) =>
      JSON.stringify(
        life.added.map((step) => ({
          ...step,
          // jsonb refuses lone surrogates too
          evidence: Buffer.from(storable(step.evidence)).toString(),
        })),
      ),
    ),
  ]);
}

async function keepAcks(
  session: Session,
  acks: readonly KeptAck[],
): Promise<void> {
  if (acks.length === 0) return;
  await session.run(KEEP_ACKS, [
    acks.map(({ ack }) => ack.tenant),
    acks.map(({ ack }) => ack.deviceId),
    acks.map(({ ack }) => storable(ack.cmdId)),
    acks.map(({ ack }) => ack.ok),
    acks.map(({ ack }) => toIso(ack.execUs)),
    acks.map(({ ack }) => (ack.err === null ? null : storable(ack.err))),
    acks.map(({ ack }) => ack.hash),
    acks.map(({ late }) => late),
    acks.map(({ known }) => known),
    acks.map(({ ack }) => toIso(ack.arrivalUs)),
  ]);
}
