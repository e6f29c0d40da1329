/**
 * What `twinstream validate` asks of the database: what became of a device's messages, what a tenant's readers see of them,
 * and the end of what a run has left there. As whoever migrates, who alone may make users and delete.
 */
import { connectDatabase, type Session } from "./connect.js";

export interface ValidationStore {
  /** Rows of `ts_measure` of these devices. */
  countReadings(tenant: string, devices: readonly string[]): Promise<number>;
  /** A device's readings as text, `point=value`, oldest first. */
  readings(tenant: string, device: string): Promise<string[]>;
  /** The greatest value of a device's numeric point; null when there is none. */
  greatest(
    tenant: string,
    device: string,
    point: string,
  ): Promise<number | null>;
  /** A device's dead letters in `ingest_errors`. */
  letters(tenant: string, device: string): Promise<Letter[]>;
  /** All rows of `cmd_ack` for a command, as text. */
  acks(tenant: string, cmdId: string): Promise<string[]>;
  /** How many rows of a device a reader sees in each table, having set `app.tenant_id` so; null leaves it unset. */
  seenBy(tenant: string | null, device: string): Promise<Map<string, number>>;
  /** Tables without a tenant's filter, chunks among them, that the reading role may read: there must be none. */
  openToReaders(): Promise<string[]>;
  /** Devices of all tenants whose ids begin like this. */
  devices(prefix: string): Promise<{ tenant: string; device: string }[]>;
  /** Removes devices with all that is stored of them. */
  removeDevices(tenant: string, devices: readonly string[]): Promise<void>;
  /** Users and tenants whose names begin like this. */
  removeUsers(prefix: string): Promise<void>;
  close(): Promise<void>;
}

export interface Letter {
  readonly reason: string;
  /** Of the record on the log. */
  readonly partition: number;
  readonly offset: number;
}

const COUNT = `SELECT count(*)::int AS n FROM ts_measure WHERE tenant_id = $1 AND device_id = ANY ($2)`;
const READINGS = `
  SELECT concat(point_id, '=', coalesce(v_num::text, v_bool::text, v_text)) AS line
  FROM ts_measure WHERE tenant_id = $1 AND device_id = $2 ORDER BY ts, point_id`;
const GREATEST = `
  SELECT max(v_num) AS value FROM ts_measure WHERE tenant_id = $1 AND device_id = $2 AND point_id = $3`;
const LETTERS = `
  SELECT reason, log_partition AS partition, log_offset::float8 AS offset
  FROM ingest_errors WHERE tenant_id = $1 AND device_id = $2 ORDER BY log_partition, log_offset, item`;
const ACKS = `SELECT a::text AS line FROM cmd_ack a WHERE tenant_id = $1 AND cmd_id = $2`;
const EQUIPMENT = `(SELECT id FROM equipments WHERE equip_uuid = $1)`;
const SENSORS = `(SELECT id FROM sensors WHERE equipment_id IN ${EQUIPMENT})`;
/** What a reader sees of a device, by table. Their names and conditions are ours alone. */
const SEEN: Readonly<Record<string, string>> = {
  ts_measure: "device_id = $1",
  telemetry_data: `sensor_id IN ${SENSORS}`,
  telemetry_hourly: `equipment_id IN ${EQUIPMENT}`,
  telemetry_daily: `equipment_id IN ${EQUIPMENT}`,
  equipments: "equip_uuid = $1",
  sensors: `equipment_id IN ${EQUIPMENT}`,
  commands: "device_id = $1",
  cmd_ack: "device_id = $1",
  events: "device_id = $1",
  ingest_errors: "device_id = $1",
};
const OPEN = `
  SELECT c.oid::regclass::text AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND (n.nspname = 'store'
         OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'store.telemetry_data'::regclass))
    AND has_schema_privilege('twinstream_reader', n.oid, 'USAGE')
    AND has_table_privilege('twinstream_reader', c.oid, 'SELECT')
  ORDER BY 1`;
const DEVICES = `
  SELECT tenant_id AS tenant, equip_uuid AS device FROM equipments
  WHERE starts_with(equip_uuid, $1) ORDER BY 1, 2`;
const REMOVE = [
  `DELETE FROM store.telemetry_data WHERE sensor_id IN (
     SELECT s.id FROM sensors s JOIN equipments e ON e.id = s.equipment_id
     WHERE e.tenant_id = $1 AND e.equip_uuid = ANY ($2))`,
  ...["events", "commands", "cmd_ack", "ingest_errors"].map(
    (table) =>
      `DELETE FROM ${table} WHERE tenant_id = $1 AND device_id = ANY ($2)`,
  ),
  // Its sensors go with it.
  `DELETE FROM equipments WHERE tenant_id = $1 AND equip_uuid = ANY ($2)`,
];

export function createValidationStore(url: string): ValidationStore {
  const database = connectDatabase({
    url,
    name: "validate",
    role: null,
    poolMin: 0,
    poolMax: 2,
  });

  /** As a session of this tenant, whatever role it is that logged in. */
  const ask = <T>(
    doing: string,
    tenant: string,
    sql: string,
    more: unknown[],
  ) =>
    database.transaction(doing, async (session) => {
      await setTenant(session, tenant);
      return session.rows<T>(sql, [tenant, ...more]);
    });

  return {
    async countReadings(tenant, devices) {
      const rows = await ask<{ n: number }>("count rows", tenant, COUNT, [
        devices,
      ]);
      return rows[0]?.n ?? 0;
    },
    readings: async (tenant, device) =>
      lines(await ask("read rows", tenant, READINGS, [device])),
    async greatest(tenant, device, point) {
      const rows = await ask<{ value: number | null }>(
        "look for the newest row",
        tenant,
        GREATEST,
        [device, point],
      );
      return rows[0]?.value ?? null;
    },
    letters: (tenant, device) =>
      ask<Letter>("read dead letters", tenant, LETTERS, [device]),
    acks: async (tenant, cmdId) =>
      lines(await ask("read acks", tenant, ACKS, [cmdId])),

    seenBy: (tenant, device) =>
      database.transaction("read as a tenant's reader", async (session) => {
        await session.run("SET LOCAL ROLE twinstream_reader");
        if (tenant !== null) await setTenant(session, tenant);
        const seen = new Map<string, number>();
        for (const [table, condition] of Object.entries(SEEN)) {
          const rows = await session.rows<{ n: number }>(
            `SELECT count(*)::int AS n FROM ${table} WHERE ${condition}`,
            [device],
          );
          seen.set(table, rows[0]?.n ?? 0);
        }
        return seen;
      }),

    openToReaders: () =>
      database.use("look at the reading role's rights", async (session) =>
        (await session.rows<{ name: string }>(OPEN)).map(({ name }) => name),
      ),

    devices: (prefix) =>
      database.use("look for devices", (session) =>
        session.rows<{ tenant: string; device: string }>(DEVICES, [prefix]),
      ),

    removeDevices: (tenant, devices) =>
      database.transaction("remove devices", async (session) => {
        for (const statement of REMOVE)
          await session.run(statement, [tenant, devices]);
      }),

    removeUsers: (prefix) =>
      database.transaction("remove users", async (session) => {
        await session.run("DELETE FROM users WHERE starts_with(username, $1)", [
          prefix,
        ]);
        await session.run(
          "DELETE FROM login_attempts WHERE starts_with(username, $1)",
          [prefix],
        );
        await session.run(
          "DELETE FROM tenants WHERE starts_with(tenant_id, $1)",
          [prefix],
        );
      }),

    close: () => database.close(),
  };
}

const setTenant = (session: Session, tenant: string) =>
  session.rows("SELECT set_config('app.tenant_id', $1, true)", [tenant]);

const lines = (rows: readonly { line: string }[]): string[] =>
  rows.map(({ line }) => line);
