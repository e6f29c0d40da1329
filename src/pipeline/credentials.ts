/**
 * Giving devices their log-ins: the book first, then the broker, then the book again. So whatever is cut off in the middle
 * stands in the book as `adding` or `revoking`, and is removed from the broker and the book by the next act on that device,
 * or by the keeper. Nobody has its password: that is answered only once all is done.
 *
 * Of two acts on one device at the same time one may find its credential gone from `adding`: the other took it for a
 * leftover. It then removes what it made and says so.
 */
import { clientIdOf, HALF_DONE, rightsOf } from "../domain/credentials.js";
import { address, type DeviceName } from "../domain/names.js";
import { TwinstreamError } from "../errors.js";
import type {
  BrokerAccounts,
  Clock,
  Credential,
  CredentialBook,
  CredentialDesk,
  CredentialFilter,
  IssuedCredential,
  NewCredential,
} from "../ports.js";

export interface CredentialsOptions {
  readonly book: CredentialBook;
  readonly broker: BrokerAccounts;
  readonly clock: Clock;
  /** Random text, as long as a password has to be. */
  readonly newPassword: () => string;
  readonly settings: CredentialsSettings;
}

export interface CredentialsSettings {
  /** MQTT_PASSWORD_MAX_AGE_DAYS; null: never to be replaced. */
  readonly maxAgeMs: number | null;
  /** MQTT_PASSWORD_NOTICE_DAYS. */
  readonly noticeMs: number;
  /** MQTT_PASSWORD_OVERLAP_HOURS. */
  readonly overlapMs: number;
  /** MQTT_TENANT_PREFIX. */
  readonly tenantPrefix: string;
}

/** What people ask for, and what the keeper needs beside it. */
export interface Credentials extends CredentialDesk {
  /** Those that are to be replaced within the notice. */
  due(filter?: CredentialFilter): Promise<Credential[]>;
  /** Makes credentials for the keeper to hand over: known to the broker, and in the book as `adding`. */
  prepare(devices: readonly NewCredential[]): Promise<IssuedCredential[]>;
  /** Makes prepared or offered ones the devices' own. Answers those for which nothing came between. */
  activate<T extends Credential>(
    credentials: readonly T[],
    overlapMs?: number,
  ): Promise<T[]>;
  /** Gone from the broker and ended in the book, whatever state they were in. */
  end(credentials: readonly Credential[], by: string): Promise<void>;
}

export function createCredentials(options: CredentialsOptions): Credentials {
  const { book, broker, clock, newPassword, settings } = options;

  async function prepare(
    devices: readonly NewCredential[],
  ): Promise<IssuedCredential[]> {
    const rights = new Map(
      devices.map((device) => [clientIdOf(device), rightsFor(device)]),
    );
    // A broker that is away, or has no accounts to manage, leaves nothing half done.
    await broker.put([]);
    const begun = await book.begin(devices);
    const issued = begun.map((credential) => ({
      ...credential,
      password: newPassword(),
      clientId: clientIdOf(credential),
    }));
    await broker.put(
      issued.map(({ username, password, clientId }) => ({
        username,
        password,
        clientId,
        rights: rights.get(clientId)!,
      })),
    );
    return issued;
  }

  function rightsFor(device: DeviceName) {
    const rights = rightsOf(device, settings.tenantPrefix);
    if (rights === null)
      throw new TwinstreamError(
        "BAD_REQUEST",
        `the topics of ${device.deviceId} have its site in them, as every tenant's but default: give the site`,
      );
    return rights;
  }

  async function activate<T extends Credential>(
    credentials: readonly T[],
    overlapMs = settings.overlapMs,
  ): Promise<T[]> {
    const nowMs = clock();
    const expiresMs =
      settings.maxAgeMs === null ? null : nowMs + settings.maxAgeMs;
    const active = await book.activate(
      credentials.map(({ username }) => username),
      expiresMs,
      nowMs + overlapMs,
    );
    const lost = credentials.filter(({ username }) => !active.has(username));
    // The other act may have been quicker than our `put`: what that made would stay.
    await broker.remove(lost.map(({ username }) => username));
    return credentials
      .filter(({ username }) => active.has(username))
      .map((one) => ({ ...one, state: "active", expiresMs }));
  }

  async function end(
    credentials: readonly Credential[],
    by: string,
  ): Promise<void> {
    if (credentials.length === 0) return;
    const usernames = credentials.map(({ username }) => username);
    await book.revoking(usernames, by);
    await broker.remove(usernames);
    await book.revoked(usernames);
  }

  /** The devices' open credentials, once what a cut-off act left is gone. */
  async function standing(
    tenant: string,
    deviceIds: readonly string[],
    by: string,
  ): Promise<Credential[]> {
    const open = await book.find({ tenant, deviceIds });
    const left = open.filter(({ state }) => HALF_DONE.includes(state));
    await end(left, by);
    return open.filter((one) => !left.includes(one));
  }

  return {
    async add(devices) {
      const [first] = devices;
      if (first === undefined) return [];
      devices.forEach(rightsFor);
      const ids = devices.map(({ deviceId }) => deviceId);
      const taken = await standing(first.tenant, ids, first.by);
      if (taken.length > 0)
        throw new TwinstreamError(
          "CREDENTIALS_EXIST",
          `${[...new Set(taken.map(({ deviceId }) => deviceId))].slice(0, 5).join(", ")} has credentials already; rotate them for a new user name and password, or revoke them first`,
        );
      const issued = await activate(await prepare(devices));
      if (issued.length === 0) throw cameBetween(ids.join(", "));
      return issued;
    },
    async rotate(tenant, deviceId, by, overlapMs) {
      const open = await standing(tenant, [deviceId], by);
      const newest = open.at(-1);
      if (newest === undefined) throw unknown(deviceId, null);
      const offered = open.find(({ state }) => state === "offered");
      if (offered !== undefined)
        throw new TwinstreamError(
          "CREDENTIALS_EXIST",
          `${offered.username} has just been handed to ${deviceId}, which may be changing to it; wait for its answer, or revoke that user name first`,
        );
      const { site, handsOver } = newest;
      const prepared = await prepare([
        { tenant, deviceId, site, handsOver, by },
      ]);
      const [issued] = await activate(prepared, overlapMs);
      if (issued === undefined) throw cameBetween(deviceId);
      return issued;
    },
    async revoke(tenant, deviceId, username, by) {
      const open = await book.find({ tenant, deviceIds: [deviceId] });
      const meant = open.filter(
        (one) => username === null || one.username === username,
      );
      if (meant.length === 0) throw unknown(deviceId, username);
      await end(meant, by);
      return meant.map((one) => one.username);
    },
    find: (filter) => book.find(filter),
    due: (filter = {}) =>
      book.find({
        ...filter,
        states: ["active"],
        expiresBeforeMs: clock() + settings.noticeMs,
      }),
    prepare,
    activate,
    end,
  };
}

const cameBetween = (devices: string): TwinstreamError =>
  new TwinstreamError(
    "CREDENTIALS_EXIST",
    `another act on ${devices} came between and stands; look at the list of its credentials`,
  );

const unknown = (deviceId: string, username: string | null): TwinstreamError =>
  new TwinstreamError(
    "CREDENTIALS_UNKNOWN",
    username === null
      ? `${deviceId} has no credentials; add some`
      : `${deviceId} has no user name ${username}; the list of its credentials has those it has`,
  );

/** What people call the device of a credential. */
export const addressOf = (credential: DeviceName): string =>
  address(credential.tenant, credential.deviceId);
