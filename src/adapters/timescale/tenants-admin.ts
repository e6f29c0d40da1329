/** Making and disabling tenants: as the user who migrates. */
import { connectDatabase } from "./connect.js";

export interface ListedTenant {
  readonly tenant: string;
  readonly name: string | null;
  /** ISO 8601. */
  readonly createdAt: string;
  /** ISO 8601; null when not disabled. */
  readonly disabledAt: string | null;
  readonly devices: number;
  readonly users: number;
}

export interface TenantsAdmin {
  /** False when there is such a tenant already. */
  add(tenant: string, name: string | null): Promise<boolean>;
  /** Disabling ends the sessions of the tenant's users; false when there is no such tenant. */
  setDisabled(tenant: string, disabled: boolean): Promise<boolean>;
  /** In the order of their names. */
  list(): Promise<ListedTenant[]>;
  close(): Promise<void>;
}

const ADD = `INSERT INTO tenants (tenant_id, name) VALUES ($1, $2) ON CONFLICT (tenant_id) DO NOTHING`;
/** Disabled again, it stays disabled since the first time. */
const SET_DISABLED = `
  UPDATE tenants SET disabled_at = CASE WHEN $2 THEN COALESCE(disabled_at, now()) END WHERE tenant_id = $1`;
const END_SESSIONS = `
  DELETE FROM refresh_families WHERE username IN (SELECT username FROM users WHERE tenant_id = $1)`;
const LIST = `
  SELECT t.tenant_id, t.name, t.created_at, t.disabled_at,
    (SELECT count(*)::int FROM equipments e WHERE e.tenant_id = t.tenant_id) AS devices,
    (SELECT count(*)::int FROM users u WHERE u.tenant_id = t.tenant_id) AS users
  FROM tenants t ORDER BY t.tenant_id`;

interface Row {
  tenant_id: string;
  name: string | null;
  created_at: Date;
  disabled_at: Date | null;
  devices: number;
  users: number;
}

export function createTenantsAdmin(url: string): TenantsAdmin {
  const database = connectDatabase({
    url,
    name: "tenants",
    role: null,
    poolMin: 0,
    poolMax: 1,
  });
  return {
    add: (tenant, name) =>
      database.use(
        "add a tenant",
        async (session) => (await session.run(ADD, [tenant, name])) > 0,
      ),
    setDisabled: (tenant, disabled) =>
      database.transaction("disable a tenant", async (session) => {
        const changed = await session.run(SET_DISABLED, [tenant, disabled]);
        if (disabled) await session.run(END_SESSIONS, [tenant]);
        return changed > 0;
      }),
    list: () =>
      database.use("list tenants", async (session) =>
        (await session.rows<Row>(LIST)).map((row) => ({
          tenant: row.tenant_id,
          name: row.name,
          createdAt: row.created_at.toISOString(),
          disabledAt: row.disabled_at?.toISOString() ?? null,
          devices: row.devices,
          users: row.users,
        })),
      ),
    close: () => database.close(),
  };
}
