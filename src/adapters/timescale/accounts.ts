/** Log-ins and their refresh tokens, as twinstream_gateway: a role that changes no user and reads one hash at a time. */
import type {
  Account,
  AccountStore,
  Rotation,
  TokenStore,
  User,
  UserRole,
} from "../../ports.js";
import { connectDatabase, type Session } from "./connect.js";

export interface AccountsOptions {
  /** The primary: a replica takes no writes. */
  readonly url: string;
  readonly name: string;
  readonly poolMax: number;
}

export interface Accounts extends AccountStore, TokenStore {
  close(): Promise<void>;
}

/** Failures that cost nothing yet: people mistype. */
const FREE_FAILURES = 5;
/** Seconds of the first lock-out; each further failure doubles it. */
const FIRST_LOCK_S = 1;
const LONGEST_LOCK_S = 900;
/** After a day without an attempt a name begins anew. */
const REMEMBERED = "interval '1 day'";

/** The n-th failure locks for 1, 2, 4 … 900 seconds once n has reached FREE_FAILURES. */
const LOCK = (failures: string) => `
  CASE WHEN ${failures} >= ${FREE_FAILURES}
    THEN now() + least(${FIRST_LOCK_S} * 2 ^ least(${failures} - ${FREE_FAILURES}, 20), ${LONGEST_LOCK_S}) * interval '1 second'
  END`;

/** In one statement, so that attempts at the same time are counted one after the other. */
const ATTEMPT = `
  INSERT INTO login_attempts AS a (username, failures) VALUES ($1, 1)
  ON CONFLICT (username) DO UPDATE SET
    refused = COALESCE(a.locked_until > now(), false),
    failures = CASE WHEN a.locked_until > now() THEN a.failures
                    WHEN a.last_at < now() - ${REMEMBERED} THEN 1
                    ELSE a.failures + 1 END,
    locked_until = CASE WHEN a.locked_until > now() THEN a.locked_until
                        WHEN a.last_at < now() - ${REMEMBERED} THEN NULL
                        ELSE ${LOCK("(a.failures + 1)")} END,
    last_at = now()
  RETURNING refused`;

const LOOKUP = `SELECT username, tenant_id, role, password_hash, disabled FROM auth_lookup($1)`;

const FORGET_ATTEMPTS = `DELETE FROM login_attempts WHERE username = $1 OR last_at < now() - ${REMEMBERED}`;
const FORGET_FAMILIES = `DELETE FROM refresh_families WHERE username = $1 AND expires_at < now()`;
const BEGIN_FAMILY = `
  WITH begun AS (
    INSERT INTO refresh_families (username, expires_at) VALUES ($1, $3) RETURNING family
  )
  INSERT INTO refresh_tokens (token_hash, family, expires_at) SELECT $2, family, $3 FROM begun`;

/** Locks the family: what follows reads its tokens as the one before has left them. */
const LOCK_FAMILY = `
  SELECT f.family, f.ended, u.username, u.tenant_id, u.role, u.disabled OR tenant_disabled(u.tenant_id) AS disabled
  FROM refresh_families f JOIN users u USING (username)
  WHERE f.family = (SELECT family FROM refresh_tokens WHERE token_hash = $1)
  FOR UPDATE OF f`;
const TOKEN = `SELECT spent_at IS NOT NULL AS spent, expires_at < now() AS expired FROM refresh_tokens WHERE token_hash = $1`;
const SPEND = `UPDATE refresh_tokens SET spent_at = now() WHERE token_hash = $1`;
const NEXT = `INSERT INTO refresh_tokens (token_hash, family, expires_at) VALUES ($1, $2, $3)`;
const PROLONG = `UPDATE refresh_families SET expires_at = $2 WHERE family = $1`;
/** A spent token past its time is refused as unknown: there is nothing left to tell by it. */
const SWEEP = `DELETE FROM refresh_tokens WHERE family = $1 AND expires_at < now()`;
const END = `UPDATE refresh_families SET ended = COALESCE(ended, $2) WHERE family = $1`;

interface UserRow {
  username: string;
  tenant_id: string;
  role: UserRole;
  disabled: boolean;
}
interface FamilyRow extends UserRow {
  family: string;
  ended: string | null;
}

/** Connects with the first call, not here. */
export function createAccounts(options: AccountsOptions): Accounts {
  const database = connectDatabase({
    ...options,
    poolMin: 0,
    role: "twinstream_gateway",
  });
  return {
    attempt: (username) =>
      database.transaction("count a log-in", async (session) => {
        // A lock-out lost in a crash of the database is no harm; waiting for the disk under a flood of log-ins is.
        await session.run("SET LOCAL synchronous_commit = off");
        const [counted] = await session.rows<{ refused: boolean }>(ATTEMPT, [
          username,
        ]);
        const [row] = await session.rows<UserRow & { password_hash: string }>(
          LOOKUP,
          [username],
        );
        const account: Account | null =
          row === undefined
            ? null
            : {
                ...userOf(row),
                passwordHash: row.password_hash,
                disabled: row.disabled,
              };
        return { account, lockedOut: counted?.refused ?? false };
      }),
    begin: (username, tokenHash, expiresMs) =>
      database.transaction("begin a session", async (session) => {
        await session.run(FORGET_ATTEMPTS, [username]);
        await session.run(FORGET_FAMILIES, [username]);
        await session.run(BEGIN_FAMILY, [
          username,
          tokenHash,
          new Date(expiresMs),
        ]);
      }),
    rotate: (spent, next, expiresMs) =>
      database.transaction("refresh a session", (session) =>
        rotate(session, spent, next, new Date(expiresMs)),
      ),
    end: (username, tokenHash) =>
      database.transaction("end a session", async (session) => {
        const [family] = await session.rows<FamilyRow>(LOCK_FAMILY, [
          tokenHash,
        ]);
        if (family === undefined || family.username !== username) return false;
        await session.run(END, [family.family, "logout"]);
        return true;
      }),
    close: () => database.close(),
  };
}

async function rotate(
  session: Session,
  spent: Buffer,
  next: Buffer,
  expires: Date,
): Promise<Rotation> {
  const [family] = await session.rows<FamilyRow>(LOCK_FAMILY, [spent]);
  const [token] = await session.rows<{ spent: boolean; expired: boolean }>(
    TOKEN,
    [spent],
  );
  if (family === undefined || token === undefined || token.expired)
    return { state: "unknown" };
  const user = userOf(family);
  if (family.ended !== null || family.disabled) return { state: "ended", user };
  if (token.spent) {
    await session.run(END, [family.family, "reuse"]);
    return { state: "reused", user };
  }
  await session.run(SPEND, [spent]);
  await session.run(SWEEP, [family.family]);
  await session.run(NEXT, [next, family.family, expires]);
  await session.run(PROLONG, [family.family, expires]);
  return { state: "rotated", user };
}

const userOf = (row: UserRow): User => ({
  username: row.username,
  tenant: row.tenant_id,
  role: row.role,
});
