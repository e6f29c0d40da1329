/**
 * Commands and acks within a flush. Requests are inserted (a request seen before changes nothing); then the touched commands
 * are locked and read, their lives decided in `domain/command-life.ts`, and written back in one statement. Every ack is kept,
 * one row a command, whatever becomes of it.
 */
import {
  type CommandLife,
  hasEnded,
  isCancel,
  type KeptAck,
  liveOn,
} from "../../domain/command-life.js";
import type { DeviceRef } from "../../domain/device.js";
import type { CommandRequest } from "../../domain/message.js";
import { address } from "../../domain/names.js";
import type { Precondition } from "../../domain/precondition.js";
import { toIso } from "../../domain/time.js";
import type { CommandState, Flush } from "../../ports.js";
import { type Session, storable, storableOrNull } from "./connect.js";
import { newest } from "./newest.js";

export interface StoredCommands {
  /** Inserted by this flush, and not ended by it. */
  readonly queued: CommandRequest[];
  /** To be sent: their condition holds. */
  readonly judged: string[];
  readonly ended: { cmdId: string; state: CommandState }[];
}

const INSERT = `
  INSERT INTO commands (cmd_id, tenant_id, device_id, log_partition, op, params, extra, requested_by, queue, state,
                        created_at, expires_at, slot, precondition, history)
  SELECT r.cmd_id, r.tenant_id, r.device_id, $1, r.op, r.params, r.extra, r.requested_by, r.queue, 'queued',
         r.created_at, r.expires_at, r.slot, r.precondition,
         jsonb_build_array(
           jsonb_build_object('state', 'accepted', 'at', r.created_text, 'evidence', 'log'),
           jsonb_build_object('state', 'queued', 'at', $2::text, 'evidence', 'row'))
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::json[], $8::json[], $9::text[], $10::boolean[],
              $11::timestamptz[], $12::timestamptz[], $13::text[], $14::text[], $15::json[])
    AS r (cmd_id, tenant_id, device_id, op, params, extra, requested_by, queue, created_at, expires_at, created_text, slot,
          precondition)
  ORDER BY r.cmd_id
  ON CONFLICT (cmd_id) DO NOTHING
  RETURNING cmd_id`;

const IN_SLOTS = `
  SELECT c.cmd_id FROM commands c
  JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[])) AS s (tenant_id, device_id, slot)
    USING (tenant_id, device_id, slot)
  WHERE c.slot IS NOT NULL AND c.state IN ('accepted', 'queued', 'sent', 'delivered')`;

const LOCK = `
  SELECT cmd_id, tenant_id, device_id, slot, precondition, judged, state, ok, err FROM commands
  WHERE cmd_id = ANY ($1::text[]) ORDER BY cmd_id FOR UPDATE`;

const UPDATE = `
  UPDATE commands c
  SET state = u.state, ok = u.ok, err = u.err, judged = u.judged, history = c.history || u.added, updated_at = now()
  FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::boolean[], $6::jsonb[])
    AS u (cmd_id, state, ok, err, judged, added)
  WHERE c.cmd_id = u.cmd_id AND c.state IN ('accepted', 'queued', 'sent', 'delivered')`;

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
  const inserted = await insertRequests(session, flush);
  const touched = await touchedBy(session, flush, inserted);
  if (touched.size === 0) return { queued: inserted, judged: [], ended: [] };
  const lives = await lockLives(session, touched, inserted);
  const values = await newestValues(session, flush, lives);
  const { acks, judged } = liveOn(lives, {
    sendings: flush.commandChanges,
    changes: flush.changes,
    toJudge: flush.toJudge,
    newest: ({ tenant, deviceId }) =>
      values.get(address(tenant, deviceId))?.payload ?? null,
  });
  await writeLives(session, lives);
  await keepAcks(session, acks);
  const ended = [...lives]
    .filter(([, life]) => life.added.length > 0 && hasEnded(life.state))
    .map(([cmdId, life]) => ({ cmdId, state: life.state }));
  const over = new Set(ended.map(({ cmdId }) => cmdId));
  const queued = inserted.filter(({ cmdId }) => !over.has(cmdId));
  return { queued, judged, ended };
}

function requestsOf({ changes }: Flush) {
  const requests: { device: DeviceRef; request: CommandRequest }[] = [];
  for (const { device, commands } of changes)
    for (const order of commands)
      if (!isCancel(order)) requests.push({ device, request: order });
  return requests;
}

async function insertRequests(
  session: Session,
  flush: Flush,
): Promise<CommandRequest[]> {
  const requests = requestsOf(flush);
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
    requests.map(({ request }) => request.supersedes),
    requests.map(({ request }) =>
      request.precondition === null
        ? null
        : JSON.stringify(request.precondition),
    ),
  ]);
  const inserted = new Set(rows.map((row) => row.cmd_id));
  // A request that stands twice in one flush is inserted, and sent, once.
  return requests
    .map(({ request }) => request)
    .filter((request) => inserted.delete(request.cmdId));
}

/** Ids of the commands that this flush has something to say of, but that they were asked for. */
async function touchedBy(
  session: Session,
  flush: Flush,
  inserted: readonly CommandRequest[],
): Promise<Set<string>> {
  const touched = new Set<string>();
  for (const { acks, commands } of flush.changes) {
    for (const { cmdId } of acks) touched.add(storable(cmdId));
    for (const order of commands)
      if (isCancel(order)) touched.add(order.cancels);
  }
  for (const { cmdId } of flush.commandChanges) touched.add(storable(cmdId));
  for (const { cmdId } of flush.toJudge) touched.add(cmdId);
  const own = new Set(inserted);
  const slots = requestsOf(flush).filter(
    ({ request }) => request.supersedes !== null && own.has(request),
  );
  if (slots.length === 0) return touched;
  const rows = await session.rows<{ cmd_id: string }>(IN_SLOTS, [
    slots.map(({ device }) => device.tenant),
    slots.map(({ device }) => device.deviceId),
    slots.map(({ request }) => request.supersedes),
  ]);
  for (const row of rows) touched.add(row.cmd_id);
  return touched;
}

async function lockLives(
  session: Session,
  touched: ReadonlySet<string>,
  inserted: readonly CommandRequest[],
): Promise<Map<string, CommandLife>> {
  const rows = await session.rows<{
    cmd_id: string;
    tenant_id: string;
    device_id: string;
    slot: string | null;
    precondition: Precondition | null;
    judged: boolean;
    state: CommandState;
    ok: boolean | null;
    err: string | null;
  }>(LOCK, [[...touched]]);
  const fresh = new Set(inserted.map(({ cmdId }) => cmdId));
  return new Map(
    rows.map((row) => [
      row.cmd_id,
      {
        tenant: row.tenant_id,
        deviceId: row.device_id,
        slot: row.slot,
        precondition: row.precondition,
        state: row.state,
        ok: row.ok,
        err: row.err,
        judged: row.judged,
        awaited: fresh.has(row.cmd_id),
        added: [],
      },
    ]),
  );
}

/** By address, of the devices whose commands have a condition to be judged: this flush's own rows are in already. */
async function newestValues(
  session: Session,
  flush: Flush,
  lives: ReadonlyMap<string, CommandLife>,
) {
  const devices = new Map<
    string,
    { address: string; tenant: string; deviceId: string }
  >();
  for (const { cmdId } of flush.toJudge) {
    const life = lives.get(cmdId);
    if (life === undefined || life.precondition === null) continue;
    const { tenant, deviceId } = life;
    const at = address(tenant, deviceId);
    devices.set(at, { address: at, tenant, deviceId });
  }
  return devices.size === 0
    ? new Map<string, { payload: string }>()
    : newest(session, [...devices.values()], "store.telemetry_data");
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
    changed.map(([, life]) => storableOrNull(life.err)),
    changed.map(([, life]) => life.judged),
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
    acks.map(({ ack }) => storableOrNull(ack.err)),
    acks.map(({ ack }) => ack.hash),
    acks.map(({ late }) => late),
    acks.map(({ known }) => known),
    acks.map(({ ack }) => toIso(ack.arrivalUs)),
  ]);
}
