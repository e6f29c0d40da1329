/** Devices registered with adapters, in memory. */
import { address } from "../../src/domain/names.js";
import type { AdapterDesk } from "../../src/ports.js";

export interface MemoryAdapterDesk extends AdapterDesk {
  /** Names of adapters, by device address. */
  readonly registered: Map<string, string>;
  /** Every call fails with it while it is set. */
  fail: Error | null;
}

export function createMemoryAdapterDesk(
  tenants: readonly string[] = ["default"],
): MemoryAdapterDesk {
  const registered = new Map<string, string>();
  const reach = (): void => {
    if (desk.fail !== null) throw desk.fail;
  };
  const desk: MemoryAdapterDesk = {
    registered,
    fail: null,
    async register({ tenant, deviceId, adapter }) {
      reach();
      if (!tenants.includes(tenant)) return false;
      registered.set(address(tenant, deviceId), adapter);
      return true;
    },
    async unregister(tenant, deviceId) {
      reach();
      const at = address(tenant, deviceId);
      const had = registered.get(at) ?? null;
      registered.delete(at);
      return had;
    },
    async find(tenant, deviceId) {
      reach();
      return registered.get(address(tenant, deviceId)) ?? null;
    },
  };
  return desk;
}
