/** Making and changing users: as the user who migrates, which the gateway is not. */
import type { User, UserRole } from "../../ports.js";
import { connectDatabase, type Session } from "./connect.js";

export interface ListedUser extends User {
  readonly disabled: boolean;
  /** ISO 8601. */
  readonly createdAt: string;
  /** ISO 8601; null when not locked out now. */
  readonly lockedUntil: string | null;
}

export interface AccountsAdmin {
  /** False when there is such a user already; with `onlyFirst` when there is any. */
  add(user: User, passwordHash: string, onlyFirst?: boolean): Promise<boolean>;
  /** Ends the user's sessions, and lets in who was locked out; false when there is no such user. */
  setPassword(username: string, passwordHash: string): Promise<boolean>;
  /** Ends the user's sessions too; false when there is no such user. */
  setDisabled(username: string, disabled: boolean): Promise<boolean>;
  list(): Promise<ListedUser[]>;
  close(): Promise<void>;
}

/** By row-level security even the tables' owner sees what a policy shows: a superuser, or a member of twinstream_gateway. */
const ADD = `
  INSERT INTO users (username, tenant_id, role, password_hash)
  SELECT $1, $2, $3, $4 WHERE NOT ($5 AND EXISTS (SELECT FROM users))
  ON CONFLICT (username) DO NOTHING`;
const ADD_TENANT = `INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING`;
const SET_PASSWORD = `UPDATE users SET password_hash = $2, changed_at = now() WHERE username = $1`;
const SET_DISABLED = `UPDATE users SET disabled = $2, changed_at = now() WHERE username = $1`;
const LIST = `
  SELECT u.username, u.tenant_id, u.role, u.disabled, u.created_at,
    CASE WHEN a.locked_until > now() THEN a.locked_until END AS locked_until
  FROM users u LEFT JOIN login_attempts a USING (username) ORDER BY u.username`;
const END_SESSIONS = `DELETE FROM refresh_families WHERE username = $1`;
const UNLOCK = `DELETE FROM login_attempts WHERE username = $1`;

interface Row {
  username: string;
  tenant_id: string;
  role: UserRole;
  disabled: boolean;
  created_at: Date;
  locked_until: Date | null;
}

export function createAccountsAdmin(url: string): AccountsAdmin {
  const database = connectDatabase({
    url,
    name: "users",
    role: null,
    poolMin: 0,
    poolMax: 1,
  });

  const change = (doing: string, statement: string, values: unknown[]) =>
    database.transaction(doing, async (session: Session) => {
      const changed = await session.run(statement, values);
      await session.run(END_SESSIONS, [values[0]]);
      await session.run(UNLOCK, [values[0]]);
      return changed > 0;
    });

  return {
    add: ({ username, tenant, role }, passwordHash, onlyFirst = false) =>
      database.transaction("add a user", async (session) => {
        const added = await session.run(ADD, [
          username,
          tenant,
          role,
          passwordHash,
          onlyFirst,
        ]);
        if (added > 0) await session.run(ADD_TENANT, [tenant]);
        return added > 0;
      }),
    setPassword: (username, passwordHash) =>
      change("change a password", SET_PASSWORD, [username, passwordHash]),
    setDisabled: (username, disabled) =>
      change("disable a user", SET_DISABLED, [username, disabled]),
    list: () =>
      database.use("list users", async (session) =>
        (await session.rows<Row>(LIST)).map((row) => ({
          username: row.username,
          tenant: row.tenant_id,
          role: row.role,
          disabled: row.disabled,
          createdAt: row.created_at.toISOString(),
          lockedUntil: row.locked_until?.toISOString() ?? null,
        })),
      ),
    close: () => database.close(),
  };
}
