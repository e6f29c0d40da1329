/** In-memory doubles of what live streams stand on; they pass the same conformance suites as Redis. */
import {
  parseAddress,
  PRESENCE_CHANNEL,
  updatesChannel,
} from "../../src/domain/names.js";
import { TwinstreamError } from "../../src/errors.js";
import type {
  Clock,
  LiveFeed,
  LiveListener,
  TicketHolder,
  TicketStore,
} from "../../src/ports.js";

export interface MemoryLiveFeed extends LiveFeed {
  publish(channel: string, message: string): void;
  /** The connection is away: nothing comes, and nothing can be watched. */
  breakOff(): void;
  comeBack(): void;
  /** What is watched: addresses, and tenants as `tenant/*`. */
  watched(): string[];
}

export function createMemoryLiveFeed(clock: Clock): MemoryLiveFeed {
  const devices = new Set<string>();
  const tenants = new Set<string>();
  let listener: LiveListener | null = null;
  let awaySinceMs: number | null = null;

  async function watch(set: Set<string>, names: readonly string[]) {
    await Promise.resolve();
    if (awaySinceMs !== null) throw new TwinstreamError("VIEW_UNREACHABLE");
    for (const name of names) set.add(name);
  }
  return {
    listen(given) {
      listener = given;
    },
    watchDevices: (addresses) => watch(devices, addresses),
    unwatchDevices(addresses) {
      for (const address of addresses) devices.delete(address);
    },
    watchTenant: (tenant) => watch(tenants, [tenant]),
    unwatchTenant: (tenant) => void tenants.delete(tenant),
    settled: async () => undefined,
    close: async () => undefined,
    publish(channel, message) {
      if (awaySinceMs !== null) return;
      const bytes = Buffer.from(message);
      if (channel === PRESENCE_CHANNEL) return listener?.presence(bytes);
      const address = channel.slice(updatesChannel("").length);
      if (devices.has(address)) listener?.update(address, bytes, "device");
      if (tenants.has(parseAddress(address)?.tenant ?? ""))
        listener?.update(address, bytes, "tenant");
    },
    breakOff() {
      awaySinceMs = clock();
    },
    comeBack() {
      const fromMs = awaySinceMs!;
      awaySinceMs = null;
      listener?.gap(fromMs, clock());
    },
    watched: () => [...devices, ...[...tenants].map((name) => `${name}/*`)],
  };
}

export function createMemoryTickets(clock: Clock): TicketStore {
  const kept = new Map<string, { holder: TicketHolder; untilMs: number }>();
  return {
    async put(hash, holder, lifeMs) {
      kept.set(hash.toString("hex"), { holder, untilMs: clock() + lifeMs });
    },
    async take(hash) {
      const found = kept.get(hash.toString("hex"));
      kept.delete(hash.toString("hex"));
      return found === undefined || found.untilMs <= clock()
        ? null
        : found.holder;
    },
  };
}
