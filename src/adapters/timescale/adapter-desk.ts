/** Registering devices with adapters: the gateway within one tenant, operators in all. Processors follow it by themselves. */
import type { AdapterDesk, RegisteredDevice } from "../../ports.js";
import { connectDatabase } from "./connect.js";

export interface AdapterDeskOptions {
  /** The primary: a replica takes no writes. */
  readonly url: string;
  readonly name: string;
  /** The writer sees every tenant; the gateway the one it asks for. */
  readonly role: "twinstream_writer" | "twinstream_gateway";
  readonly poolMax: number;
}

const REGISTER = `
  INSERT INTO equipments (tenant_id, equip_uuid, topics, adapter, log_partition)
  SELECT t.tenant_id, $2, CASE WHEN t.tenant_id = 'default' THEN 'flat' ELSE 'tenant' END, $3, $4::int
  FROM tenants t WHERE t.tenant_id = $1
  ON CONFLICT (tenant_id, equip_uuid) DO UPDATE SET adapter = excluded.adapter`;

const UNREGISTER = `
  WITH had AS (
    SELECT tenant_id, equip_uuid, adapter FROM equipments
    WHERE tenant_id = $1 AND equip_uuid = $2 AND adapter IS NOT NULL FOR UPDATE
  )
  UPDATE equipments e SET adapter = NULL FROM had
  WHERE e.tenant_id = had.tenant_id AND e.equip_uuid = had.equip_uuid
  RETURNING had.adapter`;

const FIND = `SELECT adapter FROM equipments WHERE tenant_id = $1 AND equip_uuid = $2`;

const WHERE = `adapter IS NOT NULL AND ($1::text IS NULL OR tenant_id = $1) AND ($2::text IS NULL OR adapter = $2)`;
const LIST = `
  SELECT tenant_id, equip_uuid, adapter FROM equipments WHERE ${WHERE}
  ORDER BY adapter, tenant_id, equip_uuid LIMIT $3`;
const COUNT = `SELECT adapter, count(*)::int AS devices FROM equipments WHERE ${WHERE} GROUP BY adapter ORDER BY adapter`;

export interface AdapterUse {
  /** Devices by adapter, of all those asked for. */
  readonly counts: ReadonlyMap<string, number>;
  /** The first of them, by adapter, tenant and id. */
  readonly devices: readonly RegisteredDevice[];
}

/** Connects with the first call, not here. */
export function createAdapterDesk(options: AdapterDeskOptions): AdapterDesk & {
  /** @param only null for all */
  list(
    only: { tenant: string | null; adapter: string | null },
    limit: number,
  ): Promise<AdapterUse>;
  close(): Promise<void>;
} {
  const database = connectDatabase({ ...options, poolMin: 0 });

  const { asTenant } = database;

  return {
    register: ({ tenant, deviceId, adapter }, partition) =>
      asTenant(tenant, "register an adapter", async (session) => {
        const values = [tenant, deviceId, adapter, partition];
        return (await session.run(REGISTER, values)) > 0;
      }),
    unregister: (tenant, deviceId) =>
      asTenant(tenant, "end an adapter's registration", async (session) => {
        const [row] = await session.rows<{ adapter: string }>(UNREGISTER, [
          tenant,
          deviceId,
        ]);
        return row?.adapter ?? null;
      }),
    find: (tenant, deviceId) =>
      asTenant(tenant, "look up a device's adapter", async (session) => {
        const [row] = await session.rows<{ adapter: string | null }>(FIND, [
          tenant,
          deviceId,
        ]);
        return row?.adapter ?? null;
      }),
    list: ({ tenant, adapter }, limit) =>
      database.use("list devices' adapters", async (session) => {
        const counts = await session.rows<{ adapter: string; devices: number }>(
          COUNT,
          [tenant, adapter],
        );
        const rows = await session.rows<{
          tenant_id: string;
          equip_uuid: string;
          adapter: string;
        }>(LIST, [tenant, adapter, limit]);
        return {
          counts: new Map(counts.map((row) => [row.adapter, row.devices])),
          devices: rows.map((row) => ({
            tenant: row.tenant_id,
            deviceId: row.equip_uuid,
            adapter: row.adapter,
          })),
        };
      }),
    close: () => database.close(),
  };
}
