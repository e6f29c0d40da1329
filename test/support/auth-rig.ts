/** A gateway that asks for log-in, on doubles: users and tokens in memory, tokens forged by hand. */
import { createHmac } from "node:crypto";
import {
  createPasswords,
  type Passwords,
} from "../../src/gateway/auth/passwords.js";
import type { GatewayDeps } from "../../src/gateway/deps.js";
import type {
  Account,
  AccountStore,
  TokenStore,
  UserRole,
} from "../../src/ports.js";
import { createMemoryTickets } from "./memory-live.js";
import { type GatewayRig, withGateway } from "./gateway-rig.js";

const SECRET = "a-secret-of-tests-with-32-characters-or-more";
export const PASSWORD = "correct horse";

export interface AuthRig extends GatewayRig {
  readonly accounts: MemoryAccounts;
  /** Headers of a user of this role and tenant. */
  as(role: UserRole, tenant?: string): Record<string, string>;
}

interface MemoryAccounts extends AccountStore, TokenStore {
  readonly users: Map<string, Account>;
  /** Names that are locked out. */
  readonly locked: Set<string>;
  readonly attempts: string[];
}

export async function withAuth(
  run: (rig: AuthRig) => Promise<void>,
  options: {
    production?: boolean;
    deps?: Partial<GatewayDeps>;
    settings?: Partial<GatewayDeps["settings"]>;
  } = {},
): Promise<void> {
  const passwords = createPasswords();
  const accounts = await createMemoryAccounts(passwords);
  await withGateway(
    (rig) =>
      run({
        ...rig,
        accounts,
        as: (role, tenant = "default") => ({
          authorization: `Bearer ${token({ role, tenant })}`,
        }),
      }),
    {
      settings: options.settings ?? {},
      deps: {
        auth: {
          accounts,
          tokens: accounts,
          tickets: createMemoryTickets(Date.now),
          passwords,
          secret: SECRET,
          production: options.production ?? false,
        },
        ...options.deps,
      },
    },
  );
}

const part = (value: object): string =>
  Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token as the gateway makes them, but for what is given. */
export function token(
  claims: Readonly<Record<string, unknown>> = {},
  how: { secret?: string; header?: object; signature?: string } = {},
): string {
  const nowS = Math.floor(Date.now() / 1000);
  const body = `${part(how.header ?? { alg: "HS256", typ: "JWT" })}.${part({
    sub: "ana",
    tenant: "default",
    role: "viewer",
    iss: "twinstream",
    aud: "twinstream-gateway",
    iat: nowS,
    exp: nowS + 60,
    ...claims,
  })}`;
  const signature =
    how.signature ??
    createHmac("sha256", how.secret ?? SECRET)
      .update(body)
      .digest("base64url");
  return `${body}.${signature}`;
}

async function createMemoryAccounts(
  passwords: Passwords,
): Promise<MemoryAccounts> {
  const passwordHash = await passwords.hash(PASSWORD);
  const users = new Map<string, Account>(
    (["admin", "operator", "viewer"] as const).map((role) => [
      role,
      {
        username: role,
        tenant: "acme",
        role,
        passwordHash,
        disabled: false,
      },
    ]),
  );
  const locked = new Set<string>();
  const attempts: string[] = [];
  const tokens = new Map<string, { username: string; spent: boolean }>();
  const key = (hash: Buffer): string => hash.toString("hex");
  return {
    users,
    locked,
    attempts,
    attempt: async (username) => {
      attempts.push(username);
      return {
        account: users.get(username) ?? null,
        lockedOut: locked.has(username),
      };
    },
    begin: async (username, hash) => {
      tokens.set(key(hash), { username, spent: false });
    },
    rotate: async (spent, next) => {
      const known = tokens.get(key(spent));
      if (known === undefined) return { state: "unknown" };
      const user = users.get(known.username)!;
      if (known.spent) return { state: "reused", user };
      known.spent = true;
      tokens.set(key(next), { username: known.username, spent: false });
      return { state: "rotated", user };
    },
    end: async (username, hash) =>
      tokens.get(key(hash))?.username === username && tokens.delete(key(hash)),
  };
}
