/** Device credentials: accounts at the MQTT broker, and the book of who has which since when. */
import type { CredentialState, Rights } from "../domain/credentials.js";
import type { DeviceName } from "../domain/names.js";

export interface BrokerAccount {
  readonly username: string;
  readonly password: string;
  /** The only client id it may connect with. */
  readonly clientId: string;
  readonly rights: Rights;
}

/** The broker's own accounts; it keeps the passwords, hashed. Repeating any of these changes nothing more. */
export interface BrokerAccounts {
  /**
   * Makes them, or makes them anew where a user name is taken; of none it only looks whether it could.
   * @throws BROKER_NO_ACCOUNTS, BROKER_UNREACHABLE
   */
  put(accounts: readonly BrokerAccount[]): Promise<void>;
  /** Removes them and closes their live sessions; those that are not there are no error. @throws as `put` */
  remove(usernames: readonly string[]): Promise<void>;
  /** Every user name that the broker has, others' too. @throws as `put` */
  list(): Promise<string[]>;
}

export interface Credential extends DeviceName {
  readonly username: string;
  readonly state: CredentialState;
  readonly createdMs: number;
  readonly createdBy: string;
  /** When it should have been replaced; null: never. It goes on working. */
  readonly expiresMs: number | null;
  /** Retiring: when it stops working. Offered: until when the device may acknowledge it. */
  readonly endsMs: number | null;
  /** The device knows the command `rotate_credentials`. */
  readonly handsOver: boolean;
  /** Of the command that offered it. */
  readonly cmdId: string | null;
}

export interface NewCredential extends DeviceName {
  readonly by: string;
  readonly handsOver: boolean;
}

/** Which credentials; every part that is given narrows it. Without `states` all but the revoked. */
export interface CredentialFilter {
  readonly tenant?: string;
  readonly deviceIds?: readonly string[];
  readonly states?: readonly CredentialState[];
  /** Noted before this. */
  readonly createdBeforeMs?: number;
  /** To be replaced before this. */
  readonly expiresBeforeMs?: number;
  /** Ending before this. */
  readonly endsBeforeMs?: number;
}

/** Rows of the database. Each call is one transaction; states change only from those named, so of two acts one is told. */
export interface CredentialBook {
  /** Notes credentials with the devices' next user names as `adding`. @throws NOT_FOUND for an unknown tenant */
  begin(credentials: readonly NewCredential[]): Promise<Credential[]>;
  /** From `adding`; answers whether it was still there. */
  offer(username: string, cmdId: string, endsMs: number): Promise<boolean>;
  /**
   * From `adding` or `offered`; the device's other active ones become `retiring` until `othersEndMs`. Answers the user names
   * for which that was still so.
   */
  activate(
    usernames: readonly string[],
    expiresMs: number | null,
    othersEndMs: number,
  ): Promise<ReadonlySet<string>>;
  /** From any state but `revoked`. */
  revoking(usernames: readonly string[], by: string): Promise<void>;
  /** From `revoking`. */
  revoked(usernames: readonly string[]): Promise<void>;
  /** By tenant, device and age. */
  find(filter: CredentialFilter): Promise<Credential[]>;
  /** Whether the device has acknowledged this command with ok; null: not at all. */
  answer(device: DeviceName, cmdId: string): Promise<boolean | null>;
  /** Does this unless another process is at it; answers whether it was done. */
  alone(work: () => Promise<void>): Promise<boolean>;
}

/** A credential with its password, which is answered once and kept nowhere. */
export interface IssuedCredential extends Credential {
  readonly password: string;
  readonly clientId: string;
}

/** Giving devices their log-ins, as an operator asks for it. */
export interface CredentialDesk {
  /**
   * First credentials for these devices, all of one tenant and each named once.
   * @throws CREDENTIALS_EXIST with nothing done, BAD_REQUEST (a tenant's device without a site), NOT_FOUND (no such tenant)
   */
  add(devices: readonly NewCredential[]): Promise<IssuedCredential[]>;
  /** A second user name and password; the first goes on working for `overlapMs`. @throws CREDENTIALS_UNKNOWN, CREDENTIALS_EXIST */
  rotate(
    tenant: string,
    deviceId: string,
    by: string,
    overlapMs?: number,
  ): Promise<IssuedCredential>;
  /** Ends one user name of the device, or all, and the live sessions with it. @throws CREDENTIALS_UNKNOWN */
  revoke(
    tenant: string,
    deviceId: string,
    username: string | null,
    by: string,
  ): Promise<string[]>;
  find(filter: CredentialFilter): Promise<Credential[]>;
}
