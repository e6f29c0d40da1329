/**
 * Log-in, refresh and log-out. A session is a family of refresh tokens, each good for one refresh: a second one shows that
 * somebody has a copy, and ends the family. Access tokens are good for 15 minutes whatever happens to their session.
 */
import { createHash, randomBytes } from "node:crypto";
import type {
  AccountStore,
  Clock,
  Rotation,
  TokenStore,
  User,
} from "../../ports.js";
import { refusal } from "../problems.js";
import { DEMO_PASSWORD, type Passwords } from "./passwords.js";

export const ACCESS_S = 15 * 60;
const REFRESH_MS = 7 * 24 * 3600 * 1000;
const TOKEN_BYTES = 32;

export interface SessionDeps {
  readonly accounts: AccountStore;
  readonly tokens: TokenStore;
  readonly passwords: Passwords;
  readonly clock: Clock;
  /** Refuses the demo's password, whoever has it. */
  readonly production: boolean;
}

export interface Opened {
  readonly user: User;
  readonly refreshToken: string;
}

export interface Sessions {
  /** @throws LOGIN_REFUSED, the same for every cause */
  logIn(username: string, password: string): Promise<Opened>;
  /** @returns null for a token that is good for nothing, with whose it was where that is known */
  refresh(
    token: string,
  ): Promise<
    | (Opened & { readonly state: "rotated" })
    | Exclude<Rotation, { state: "rotated" }>
  >;
  /** False when it is not a token of this user. */
  logOut(user: User, token: string): Promise<boolean>;
}

export function createSessions(deps: SessionDeps): Sessions {
  const { accounts, tokens, passwords, clock } = deps;
  const newToken = () => randomBytes(TOKEN_BYTES).toString("base64url");
  return {
    async logIn(username, password) {
      const { account, lockedOut } = await accounts.attempt(username);
      // Hashed whatever is known by now, so that every refusal takes the same time.
      const right = await passwords.matches(
        account?.passwordHash ?? null,
        password,
      );
      const barred =
        lockedOut || (deps.production && password === DEMO_PASSWORD);
      if (account === null || !right || barred || account.disabled)
        throw refusal(
          "LOGIN_REFUSED",
          "the user name or password is wrong, or the user is disabled or locked out for a while after repeated failures",
        );
      const refreshToken = newToken();
      await tokens.begin(username, hashOf(refreshToken), clock() + REFRESH_MS);
      const { tenant, role } = account;
      return { user: { username, tenant, role }, refreshToken };
    },
    async refresh(token) {
      const refreshToken = newToken();
      const rotation = await tokens.rotate(
        hashOf(token),
        hashOf(refreshToken),
        clock() + REFRESH_MS,
      );
      return rotation.state === "rotated"
        ? { ...rotation, refreshToken }
        : rotation;
    },
    logOut: (user, token) => tokens.end(user.username, hashOf(token)),
  };
}

/** A token is 256 random bits: one fast hash is enough. */
const hashOf = (token: string): Buffer =>
  createHash("sha256").update(token).digest();
