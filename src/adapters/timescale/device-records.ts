/**
 * What the gateway reads, always within one tenant: as twinstream_reader, with app.tenant_id set for the one transaction, so
 * that a forgotten WHERE shows nothing of others.
 */
import type { CommandRecord, CommandState, DeviceRecord } from "../../ports.js";
import type { DeviceRecords } from "../../ports.js";
import { connectDatabase } from "./connect.js";
import { readEvents } from "./events-reader.js";
import { address } from "../../domain/names.js";
import { newest } from "./newest.js";
import { toIso } from "../../domain/time.js";
import { microsecondsOf } from "./times.js";

export interface DeviceRecordsOptions {
  readonly url: string;
  readonly name: string;
  readonly poolMin: number;
  readonly poolMax: number;
}

const DEVICE_COLUMNS = `equip_uuid, tenant_id, site, online, ${microsecondsOf("last_seen")} AS seen_us, cause`;

const DEVICES = `
  SELECT ${DEVICE_COLUMNS} FROM equipments
  WHERE tenant_id = $1 AND ($2::text IS NULL OR equip_uuid > $2)
    AND ($3::timestamptz IS NULL OR (online AND last_seen >= $3))
  ORDER BY equip_uuid LIMIT $4`;

const DEVICE = `SELECT ${DEVICE_COLUMNS} FROM equipments WHERE tenant_id = $1 AND equip_uuid = $2`;

const COMMAND_COLUMNS = `cmd_id, device_id, op, params, requested_by, state, ok, err, history, slot, precondition,
  ${microsecondsOf("created_at")} AS created_us, ${microsecondsOf("expires_at")} AS expires_us`;

/** Newest first: ids are ULIDs, whose order is that of their making. */
const COMMANDS = `
  SELECT ${COMMAND_COLUMNS} FROM commands
  WHERE tenant_id = $1 AND device_id = $2 AND ($3::text IS NULL OR cmd_id < $3)
  ORDER BY cmd_id DESC LIMIT $4`;

const COMMAND = `
  SELECT ${COMMAND_COLUMNS} FROM commands WHERE tenant_id = $1 AND device_id = $2 AND cmd_id = $3`;

const ENDED_COMMANDS = `
  SELECT cmd_id FROM commands
  WHERE tenant_id = $1 AND cmd_id = ANY ($2::text[]) AND state NOT IN ('accepted', 'queued', 'sent', 'delivered')`;

interface DeviceRow {
  equip_uuid: string;
  tenant_id: string;
  site: string | null;
  online: boolean;
  seen_us: string | null;
  cause: string | null;
}

interface CommandRow {
  cmd_id: string;
  device_id: string;
  op: string;
  params: unknown;
  requested_by: string;
  state: CommandState;
  ok: boolean | null;
  err: string | null;
  history: CommandRecord["history"];
  slot: string | null;
  precondition: CommandRecord["precondition"];
  created_us: string;
  expires_us: string;
}

/** Connects with the first call, not here. */
export function createDeviceRecords(
  options: DeviceRecordsOptions,
): DeviceRecords {
  const database = connectDatabase({ ...options, role: "twinstream_reader" });

  const { asTenant } = database;

  return {
    devices: (tenant, { onlineSinceUs, after, limit }) =>
      asTenant(tenant, "read devices", async (session) => {
        const since = onlineSinceUs === null ? null : toIso(onlineSinceUs);
        const rows = await session.rows<DeviceRow>(DEVICES, [
          tenant,
          after,
          since,
          limit,
        ]);
        return rows.map(deviceRecord);
      }),
    device: (tenant, deviceId) =>
      asTenant(tenant, "read a device", async (session) => {
        const [row] = await session.rows<DeviceRow>(DEVICE, [tenant, deviceId]);
        return row === undefined ? null : deviceRecord(row);
      }),
    newest: (tenant, deviceId) =>
      asTenant(tenant, "read newest values", async (session) => {
        const device = {
          address: address(tenant, deviceId),
          tenant,
          deviceId,
        };
        const found = await newest(session, [device], "public.telemetry_data");
        return found.get(device.address) ?? null;
      }),
    events: (tenant, deviceId, options) =>
      asTenant(tenant, "read events", (session) =>
        readEvents(session, tenant, deviceId, options),
      ),
    commands: (tenant, deviceId, { before, limit }) =>
      asTenant(tenant, "read commands", async (session) => {
        const rows = await session.rows<CommandRow>(COMMANDS, [
          tenant,
          deviceId,
          before,
          limit,
        ]);
        return rows.map(commandRecord);
      }),
    command: (tenant, deviceId, cmdId) =>
      asTenant(tenant, "read a command", async (session) => {
        const [row] = await session.rows<CommandRow>(COMMAND, [
          tenant,
          deviceId,
          cmdId,
        ]);
        return row === undefined ? null : commandRecord(row);
      }),
    endedCommands: (tenant, cmdIds) =>
      asTenant(tenant, "read which commands have ended", async (session) => {
        const rows = await session.rows<{ cmd_id: string }>(ENDED_COMMANDS, [
          tenant,
          cmdIds,
        ]);
        return new Set(rows.map((row) => row.cmd_id));
      }),
    ping: async () => {
      await database.use("ping", (session) =>
        session.run("SELECT FROM equipments LIMIT 1"),
      );
    },
    close: () => database.close(),
  };
}

function deviceRecord(row: DeviceRow): DeviceRecord {
  return {
    deviceId: row.equip_uuid,
    tenant: row.tenant_id,
    site: row.site,
    online: row.online,
    lastSeenUs: row.seen_us === null ? 0 : Number(row.seen_us),
    cause: row.cause,
  };
}

function commandRecord(row: CommandRow): CommandRecord {
  return {
    cmdId: row.cmd_id,
    deviceId: row.device_id,
    op: row.op,
    params: row.params,
    by: row.requested_by,
    state: row.state,
    ok: row.ok,
    err: row.err,
    createdUs: Number(row.created_us),
    expiresUs: Number(row.expires_us),
    supersedes: row.slot,
    precondition: row.precondition,
    history: row.history,
  };
}
