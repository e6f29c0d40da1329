/** Who makes a request, and what a route asks of them. What is written here onto requests and routes is read only by these functions. */
import type { FastifyRequest } from "fastify";
import { DEFAULT_TENANT } from "../../domain/names.js";
import { TwinstreamError } from "../../errors.js";
import type { User, UserRole } from "../../ports.js";

/** Who may use a route: anybody, or a user of this role or a higher one. */
export type Access = "public" | UserRole;

declare module "fastify" {
  interface FastifyContextConfig {
    /** When not given: `viewer` for GET, `operator` for everything else. */
    access?: Access;
    /** `login`: the harder limit as well. `none`: for what balancers and Prometheus ask all day. */
    limit?: "login" | "none";
    /** A ticket in the query is taken in place of an access token. */
    ticket?: boolean;
    /** Name of the act in the audit log; when not given, method and address. */
    act?: string;
  }
  interface FastifyRequest {
    identity: User | null;
    /** Until when that is so, Unix milliseconds. */
    identityUntilMs: number;
    /** What a route knows better than the audit log: who tried to log in, what became of it. */
    audited: Audited | null;
  }
}

export interface Audited {
  readonly user: string;
  readonly tenant: string | null;
  readonly subject?: string;
}

/** Everybody, when AUTH=off. */
export const NOBODY: User = {
  username: "anonymous",
  tenant: DEFAULT_TENANT,
  role: "admin",
};

const RANK: Readonly<Record<UserRole, number>> = {
  viewer: 0,
  operator: 1,
  admin: 2,
};

export const isRole = (role: unknown): role is UserRole =>
  typeof role === "string" && Object.hasOwn(RANK, role);

export const mayUse = (role: UserRole, access: UserRole): boolean =>
  RANK[role] >= RANK[access];

/** @throws INTERNAL on a public route, which has no user: it must not ask for one. */
export function userOf(request: FastifyRequest): User {
  if (request.identity === null)
    throw new TwinstreamError(
      "INTERNAL",
      `${request.routeOptions.url}: a route without log-in asked for its user`,
    );
  return request.identity;
}
