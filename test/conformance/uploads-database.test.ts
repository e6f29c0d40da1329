import { createUploadDesk } from "../../src/adapters/timescale/uploads-desk.js";
import { createUploadStore } from "../../src/adapters/timescale/uploads-store.js";
import { objectKey } from "../../src/domain/claim-check.js";
import { type OpenDatabase, openDatabase } from "../support/database.js";
import { uploadsConformance } from "./uploads.js";

const EMPTY =
  "TRUNCATE store.telemetry_data, equipments, sensors, claims, ingest_errors";
const ROWS = `
  SELECT e.equip_uuid || ' ' || s.sensor_uuid || ' ' || (extract(epoch FROM d.time) * 1000000)::bigint || ' ' ||
         COALESCE(d.text_value, d.value::text) AS line
  FROM store.telemetry_data d JOIN sensors s ON s.id = d.sensor_id JOIN equipments e ON e.id = s.equipment_id`;

/** The tests share a database, each finding it empty; the last one drops it. */
let opened: Promise<OpenDatabase> | undefined;

uploadsConformance("database", {
  async use(work) {
    opened ??= openDatabase({ rawRetentionDays: 0 });
    const { url, admin } = await opened;
    await admin.query(EMPTY);
    const options = { url, name: "conformance", poolMin: 0, poolMax: 4 };
    const store = createUploadStore(options);
    const desk = createUploadDesk(options);
    const lines = async (sql: string): Promise<string[]> =>
      (await admin.query<{ line: string }>(sql)).rows
        .map(({ line }) => line)
        .toSorted();
    let added = 0;
    try {
      await work({
        store,
        async add(claimId) {
          const n = String(added++).padStart(12, "0");
          const receivedMs = Date.now();
          await desk.begin({
            claimId,
            tenant: "default",
            userId: "u",
            requestId: "r",
            key: objectKey(receivedMs, `00000000-0000-4000-8000-${n}`),
            storageType: "filesystem",
            idempotencyKey: null,
            receivedMs,
          });
          const sizes = { fileSize: 1, originalSize: 2, sha256: "" };
          await desk.stored("default", claimId, sizes);
          await desk.announced("default", claimId);
        },
        rows: () => lines(ROWS),
        letters: () => lines("SELECT reason AS line FROM ingest_errors"),
      });
    } finally {
      await Promise.all([store.close(), desk.close()]);
    }
  },
  async close() {
    await (await opened)?.drop();
  },
});
