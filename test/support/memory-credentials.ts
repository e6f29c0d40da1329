/** In-memory doubles of the book and of the broker's accounts; both pass the conformance suites of their ports. */
import {
  usernameOf,
  type CredentialState,
} from "../../src/domain/credentials.js";
import { address } from "../../src/domain/names.js";
import { TwinstreamError } from "../../src/errors.js";
import type {
  BrokerAccount,
  BrokerAccounts,
  Clock,
  Credential,
  CredentialBook,
} from "../../src/ports.js";

export interface MemoryAccountsAtBroker extends BrokerAccounts {
  readonly accounts: Map<string, BrokerAccount>;
  /** The next call fails, before or after it took effect. */
  failNext: "before" | "after" | null;
}

export function createMemoryBrokerAccounts(): MemoryAccountsAtBroker {
  const accounts = new Map<string, BrokerAccount>();
  const doing = (change: () => void): void => {
    const { failNext } = broker;
    broker.failNext = null;
    if (failNext !== "before") change();
    if (failNext !== null)
      throw new TwinstreamError("BROKER_UNREACHABLE", "the test says so");
  };
  const broker: MemoryAccountsAtBroker = {
    accounts,
    failNext: null,
    put: async (put) =>
      put.length === 0
        ? undefined
        : doing(() => {
            for (const one of put) accounts.set(one.username, one);
          }),
    remove: async (usernames) =>
      usernames.length === 0
        ? undefined
        : doing(() => {
            for (const one of usernames) accounts.delete(one);
          }),
    list: async () => [...accounts.keys()],
  };
  return broker;
}

export interface MemoryBook extends CredentialBook {
  readonly rows: Credential[];
  /** What devices acknowledged: ok by address and command id. */
  readonly acks: Map<string, boolean>;
}

export function createMemoryBook(
  clock: Clock,
  tenants: readonly string[] = ["default", "acme"],
): MemoryBook {
  const rows: Credential[] = [];
  const set = (
    usernames: readonly string[],
    from: readonly CredentialState[],
    change: Partial<Credential>,
  ): string[] =>
    rows
      .filter(
        (row) => usernames.includes(row.username) && from.includes(row.state),
      )
      .map((row) => Object.assign(row, change).username);
  return {
    rows,
    acks: new Map(),
    async begin(credentials) {
      for (const { tenant } of credentials)
        if (!tenants.includes(tenant))
          throw new TwinstreamError(
            "NOT_FOUND",
            `there is no tenant ${tenant}`,
          );
      return credentials.map(({ by, ...device }) => {
        const earlier = rows.filter(
          (row) =>
            row.tenant === device.tenant && row.deviceId === device.deviceId,
        );
        const row: Credential = {
          ...device,
          username: usernameOf(device, earlier.length + 1),
          state: "adding",
          createdMs: clock(),
          createdBy: by,
          expiresMs: null,
          endsMs: null,
          cmdId: null,
        };
        rows.push(row);
        return { ...row };
      });
    },
    offer: async (username, cmdId, endsMs) =>
      set([username], ["adding"], { state: "offered", cmdId, endsMs }).length >
      0,
    async activate(usernames, expiresMs, othersEndMs) {
      const active = set(usernames, ["adding", "offered"], {
        state: "active",
        expiresMs,
        endsMs: null,
      });
      for (const one of rows.filter((row) => active.includes(row.username)))
        for (const other of rows)
          if (
            other.tenant === one.tenant &&
            other.deviceId === one.deviceId &&
            other.state === "active" &&
            !active.includes(other.username)
          )
            Object.assign(other, { state: "retiring", endsMs: othersEndMs });
      return new Set(active);
    },
    async revoking(usernames) {
      set(usernames, ["adding", "active", "offered", "retiring", "revoking"], {
        state: "revoking",
      });
    },
    async revoked(usernames) {
      set(usernames, ["revoking"], { state: "revoked" });
    },
    find: async (filter) =>
      rows
        .filter(
          (row) =>
            (filter.tenant === undefined || row.tenant === filter.tenant) &&
            (filter.deviceIds?.includes(row.deviceId) ?? true) &&
            (filter.states?.includes(row.state) ?? row.state !== "revoked") &&
            (filter.createdBeforeMs === undefined ||
              row.createdMs < filter.createdBeforeMs) &&
            (filter.expiresBeforeMs === undefined ||
              (row.expiresMs !== null &&
                row.expiresMs < filter.expiresBeforeMs)) &&
            (filter.endsBeforeMs === undefined ||
              (row.endsMs !== null && row.endsMs < filter.endsBeforeMs)),
        )
        .map((row) => ({ ...row })),
    async answer(device, cmdId) {
      const at = address(device.tenant, device.deviceId);
      return this.acks.get(`${at} ${cmdId}`) ?? null;
    },
    async alone(work) {
      await work();
      return true;
    },
  } as MemoryBook;
}
