/** Which devices are registered with an adapter of their own, as a processor follows them. */
import { address } from "../../domain/names.js";
import type { Database } from "./connect.js";

type Adapters = ReadonlyMap<string, string>;

/** Moved by a trigger with every change. */
const CHANGES = "SELECT changes FROM store.adapter_changes";
const ADAPTERS =
  "SELECT tenant_id, equip_uuid, adapter FROM equipments WHERE adapter IS NOT NULL";

/** Answers the map of before while nothing was changed: 100,000 devices are not to be read every few seconds. */
export function createRegisteredAdapters(
  database: Database,
): () => Promise<Adapters> {
  let known: { changes: string; adapters: Adapters } | null = null;
  return () =>
    database.use("read devices' adapters", async (session) => {
      // Before the devices: a change in between is seen by the next look.
      const [row] = await session.rows<{ changes: string }>(CHANGES);
      const { changes } = row!;
      if (known?.changes === changes) return known.adapters;
      const rows = await session.rows<{
        tenant_id: string;
        equip_uuid: string;
        adapter: string;
      }>(ADAPTERS);
      const adapters = new Map(
        rows.map((it) => [address(it.tenant_id, it.equip_uuid), it.adapter]),
      );
      known = { changes, adapters };
      return adapters;
    });
}
