/** A store on a database of its own, for the tests of rows. */
import { createTelemetryStore } from "../../src/adapters/timescale/telemetry-store.js";
import type { TelemetryStore } from "../../src/ports.js";
import { type TestDatabase, withDatabase } from "../support/database.js";

export async function withStore(
  extension: "auto" | "never",
  work: (store: TelemetryStore, database: TestDatabase) => Promise<void>,
): Promise<void> {
  await withDatabase({ extension }, async (database) => {
    const store = createTelemetryStore({
      url: database.url,
      name: "rows test",
      poolMin: 0,
      poolMax: 4,
    });
    try {
      await work(store, database);
    } finally {
      await store.close();
    }
  });
}
