/** Device credentials as the command line shows them. */
import type { Credential, IssuedCredential } from "../ports.js";
import { table } from "./table.js";

const iso = (ms: number | null): string | null =>
  ms === null ? null : new Date(ms).toISOString();
const day = (ms: number | null): string => iso(ms)?.slice(0, 10) ?? "never";

export const shownCredential = (one: Credential) => ({
  tenant: one.tenant,
  device_id: one.deviceId,
  site: one.site,
  username: one.username,
  state: one.state,
  created_at: iso(one.createdMs),
  created_by: one.createdBy,
  expires_at: iso(one.expiresMs),
  ends_at: iso(one.endsMs),
  rotates_itself: one.handsOver,
});

export const shownIssued = (issued: IssuedCredential) => ({
  tenant: issued.tenant,
  device_id: issued.deviceId,
  username: issued.username,
  client_id: issued.clientId,
  password: issued.password,
  expires_at: iso(issued.expiresMs),
});

export const issuedText = (issued: IssuedCredential): string =>
  [
    `user name  ${issued.username}`,
    `client id  ${issued.clientId}`,
    `password   ${issued.password}   (shown this once)`,
  ].join("\n");

/** @param missing user names that the broker does not have, though they should work */
export function deviceTable(
  found: readonly Credential[],
  missing: ReadonlySet<string>,
): string {
  if (found.length === 0)
    return "no credentials; make some with: twinstream devices add";
  return table(
    found.map((one) => [
      one.tenant,
      one.deviceId,
      one.username,
      stateOf(one, missing),
      `since ${day(one.createdMs)}`,
      one.state === "active" ? `to be replaced ${day(one.expiresMs)}` : "",
    ]),
  );
}

function stateOf(one: Credential, missing: ReadonlySet<string>): string {
  if (missing.has(one.username)) return "lost by the broker: rotate it";
  return one.state === "retiring"
    ? `retiring until ${iso(one.endsMs)}`
    : one.state;
}
