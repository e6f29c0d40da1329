/** The book of device credentials, as twinstream_gateway. No password and no hash of one is in it. */
import { usernameOf, type CredentialState } from "../../domain/credentials.js";
import { TwinstreamError } from "../../errors.js";
import type { Credential, CredentialBook } from "../../ports.js";
import { connectDatabase, type Session } from "./connect.js";

export interface DeviceCredentialsOptions {
  /** The primary: a replica takes no writes. */
  readonly url: string;
  readonly name: string;
}

/** One of them is the keeper's while it is at work. */
const CONNECTIONS = 4;

const AS_TENANT = `SELECT set_config('app.tenant_id', $1, true)`;
const IS_TENANT = `SELECT FROM tenants WHERE tenant_id = $1`;
const COLUMNS = `username, tenant_id, device_id, site, state, created_at, created_by, expires_at, ends_at, hands_over, cmd_id`;
/** One act on a device at a time, so that two do not take the same serial. Sorted, so that two batches cannot lock each other out. */
const LOCK = `
  SELECT pg_advisory_xact_lock(hashtextextended('device_credentials ' || tenant || '/' || device, 0))
  FROM unnest($1::text[], $2::text[]) AS d(tenant, device) ORDER BY tenant, device`;
const SERIALS = `
  SELECT coalesce(max(c.serial), 0)::integer + 1 AS serial
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS d(tenant, device, place)
  LEFT JOIN device_credentials c ON c.tenant_id = d.tenant AND c.device_id = d.device
  GROUP BY d.place ORDER BY d.place`;
const BEGIN = `
  INSERT INTO device_credentials (username, tenant_id, device_id, site, serial, created_by, hands_over, state)
  SELECT *, 'adding' FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::boolean[])
  RETURNING ${COLUMNS}`;
const OFFER = `
  UPDATE device_credentials SET state = 'offered', cmd_id = $2, ends_at = $3 WHERE username = $1 AND state = 'adding'`;
const ACTIVATE = `
  UPDATE device_credentials SET state = 'active', expires_at = $2, ends_at = NULL
  WHERE username = ANY($1) AND state IN ('adding', 'offered') RETURNING username`;
const RETIRE_OTHERS = `
  UPDATE device_credentials old SET state = 'retiring', ends_at = $2
  FROM device_credentials new
  WHERE new.username = ANY($1) AND old.tenant_id = new.tenant_id AND old.device_id = new.device_id
    AND old.state = 'active' AND NOT old.username = ANY($1)`;
const REVOKING = `
  UPDATE device_credentials SET state = 'revoking', ended_at = now(), ended_by = $2
  WHERE username = ANY($1) AND state <> 'revoked'`;
const REVOKED = `UPDATE device_credentials SET state = 'revoked' WHERE username = ANY($1) AND state = 'revoking'`;
const FIND = `
  SELECT ${COLUMNS} FROM device_credentials
  WHERE ($1::text IS NULL OR tenant_id = $1) AND ($2::text[] IS NULL OR device_id = ANY($2)) AND state = ANY($3)
    AND ($4::timestamptz IS NULL OR created_at < $4) AND ($5::timestamptz IS NULL OR expires_at < $5)
    AND ($6::timestamptz IS NULL OR ends_at < $6)
  ORDER BY tenant_id, device_id, serial`;
const ANSWER = `SELECT ok FROM cmd_ack WHERE tenant_id = $1 AND device_id = $2 AND cmd_id = $3`;
const TRY_LOCK = `SELECT pg_try_advisory_lock(hashtext('twinstream.device_credentials')) AS mine`;
const UNLOCK = `SELECT pg_advisory_unlock(hashtext('twinstream.device_credentials'))`;
const OPEN: readonly CredentialState[] = [
  "adding",
  "active",
  "offered",
  "retiring",
  "revoking",
];

interface Row {
  username: string;
  tenant_id: string;
  device_id: string;
  site: string | null;
  state: CredentialState;
  created_at: Date;
  created_by: string;
  expires_at: Date | null;
  ends_at: Date | null;
  hands_over: boolean;
  cmd_id: string | null;
}

export function createDeviceCredentials(
  options: DeviceCredentialsOptions,
): CredentialBook & { close(): Promise<void> } {
  const database = connectDatabase({
    ...options,
    role: "twinstream_gateway",
    poolMin: 0,
    poolMax: CONNECTIONS,
  });
  const run = (doing: string, statement: string, values: unknown[]) =>
    database.use(doing, (session) => session.run(statement, values));

  return {
    begin: (credentials) =>
      database.transaction("note device credentials", async (session) => {
        for (const tenant of new Set(credentials.map((one) => one.tenant)))
          await mustBeTenant(session, tenant);
        const tenants = credentials.map((one) => one.tenant);
        const devices = credentials.map((one) => one.deviceId);
        await session.rows(LOCK, [tenants, devices]);
        const serials = (
          await session.rows<{ serial: number }>(SERIALS, [tenants, devices])
        ).map(({ serial }) => serial);
        const rows = await session.rows<Row>(BEGIN, [
          credentials.map((one, i) => usernameOf(one, serials[i]!)),
          tenants,
          devices,
          credentials.map((one) => one.site),
          serials,
          credentials.map((one) => one.by),
          credentials.map((one) => one.handsOver),
        ]);
        return rows.map(credentialOf);
      }),
    offer: async (username, cmdId, endsMs) =>
      (await run("note an offer", OFFER, [username, cmdId, new Date(endsMs)])) >
      0,
    activate: (usernames, expiresMs, othersEndMs) =>
      database.transaction("activate device credentials", async (session) => {
        const rows = await session.rows<{ username: string }>(ACTIVATE, [
          usernames,
          expiresMs === null ? null : new Date(expiresMs),
        ]);
        const active = rows.map(({ username }) => username);
        await session.run(RETIRE_OTHERS, [active, new Date(othersEndMs)]);
        return new Set(active);
      }),
    revoking: async (usernames, by) => {
      await run("revoke device credentials", REVOKING, [usernames, by]);
    },
    revoked: async (usernames) => {
      await run("end device credentials", REVOKED, [usernames]);
    },
    find: (filter) =>
      database.use("find device credentials", async (session) =>
        (
          await session.rows<Row>(FIND, [
            filter.tenant ?? null,
            filter.deviceIds ?? null,
            filter.states ?? OPEN,
            dateOf(filter.createdBeforeMs),
            dateOf(filter.expiresBeforeMs),
            dateOf(filter.endsBeforeMs),
          ])
        ).map(credentialOf),
      ),
    answer: (device, cmdId) =>
      database.transaction("look for an acknowledgement", async (session) => {
        await session.rows(AS_TENANT, [device.tenant]);
        const [row] = await session.rows<{ ok: boolean }>(ANSWER, [
          device.tenant,
          device.deviceId,
          cmdId,
        ]);
        return row?.ok ?? null;
      }),
    alone: (work) =>
      database.use("keep device credentials", async (session) => {
        const [lock] = await session.rows<{ mine: boolean }>(TRY_LOCK);
        if (lock?.mine !== true) return false;
        // A failure costs this connection, and with it the lock.
        await work();
        await session.rows(UNLOCK);
        return true;
      }),
    close: () => database.close(),
  };
}

async function mustBeTenant(session: Session, tenant: string): Promise<void> {
  await session.rows(AS_TENANT, [tenant]);
  if ((await session.rows(IS_TENANT, [tenant])).length === 0)
    throw new TwinstreamError("NOT_FOUND", `there is no tenant ${tenant}`);
}

const dateOf = (ms: number | undefined): Date | null =>
  ms === undefined ? null : new Date(ms);

const credentialOf = (row: Row): Credential => ({
  username: row.username,
  tenant: row.tenant_id,
  deviceId: row.device_id,
  site: row.site,
  state: row.state,
  createdMs: row.created_at.getTime(),
  createdBy: row.created_by,
  expiresMs: row.expires_at?.getTime() ?? null,
  endsMs: row.ends_at?.getTime() ?? null,
  handsOver: row.hands_over,
  cmdId: row.cmd_id,
});
