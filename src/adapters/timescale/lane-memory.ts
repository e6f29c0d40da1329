/** What a lane reads back when it claims a partition, and what it writes down apart from flushes. */
import { address } from "../../domain/names.js";
import type { DeviceRef } from "../../domain/device.js";
import type { Precondition } from "../../domain/precondition.js";
import type { CommandState, OpenCommand } from "../../ports.js";
import type { Session } from "./connect.js";
import { microsecondsOf } from "./times.js";

const OPEN_COMMANDS = `
  SELECT c.cmd_id, c.tenant_id, c.device_id, e.id AS equipment_id, e.site, c.op, c.params, c.extra, c.requested_by, c.queue,
         c.slot, c.precondition, c.judged, c.state, ${microsecondsOf("c.created_at")} AS created_us, ${microsecondsOf("c.expires_at")} AS expires_us
  FROM commands c
  LEFT JOIN equipments e ON e.tenant_id = c.tenant_id AND e.equip_uuid = c.device_id
  WHERE c.log_partition = $1 AND c.state IN ('accepted', 'queued', 'sent', 'delivered')
  ORDER BY c.created_at, c.cmd_id`;

const ONLINE_DEVICES = `
  SELECT id, tenant_id, equip_uuid, site, ${microsecondsOf("last_seen")} AS seen_us FROM equipments
  WHERE log_partition = $1 AND online`;

const NOTE_GAP = `
  INSERT INTO stream_gaps (topic, partition, from_offset, to_offset) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`;

interface DeviceColumns {
  tenant_id: string;
  site: string | null;
}

function deviceOf(
  row: DeviceColumns,
  deviceId: string,
  equipmentId: number,
): DeviceRef {
  return {
    address: address(row.tenant_id, deviceId),
    tenant: row.tenant_id,
    deviceId,
    site: row.site,
    equipmentId,
  };
}

export async function openCommands(
  session: Session,
  partition: number,
): Promise<OpenCommand[]> {
  const rows = await session.rows<
    DeviceColumns & {
      cmd_id: string;
      device_id: string;
      equipment_id: number | null;
      op: string;
      params: unknown;
      extra: Record<string, unknown>;
      requested_by: string;
      queue: boolean;
      slot: string | null;
      precondition: Precondition | null;
      judged: boolean;
      state: CommandState;
      created_us: string;
      expires_us: string;
    }
  >(OPEN_COMMANDS, [partition]);
  return rows.map((row) => ({
    device: deviceOf(row, row.device_id, row.equipment_id ?? 0),
    request: {
      cmdId: row.cmd_id,
      op: row.op,
      params: row.params,
      by: row.requested_by,
      createdUs: Number(row.created_us),
      expiresUs: Number(row.expires_us),
      queue: row.queue,
      supersedes: row.slot,
      precondition: row.precondition,
      extra: row.extra,
    },
    state: row.state,
    judged: row.judged,
  }));
}

export async function onlineDevices(
  session: Session,
  partition: number,
): Promise<{ device: DeviceRef; lastSeenUs: number }[]> {
  const rows = await session.rows<
    DeviceColumns & { id: number; equip_uuid: string; seen_us: string | null }
  >(ONLINE_DEVICES, [partition]);
  return rows.map((row) => ({
    device: deviceOf(row, row.equip_uuid, row.id),
    lastSeenUs: row.seen_us === null ? 0 : Number(row.seen_us),
  }));
}

export async function tenants(session: Session): Promise<ReadonlySet<string>> {
  const rows = await session.rows<{ tenant_id: string }>(
    "SELECT tenant_id FROM tenants WHERE disabled_at IS NULL",
  );
  return new Set(rows.map((row) => row.tenant_id));
}

export async function noteGap(
  session: Session,
  topic: string,
  partition: number,
  from: number,
  to: number,
): Promise<void> {
  await session.run(NOTE_GAP, [topic, partition, from, to]);
}
