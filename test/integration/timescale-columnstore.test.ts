import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createRowEncoder } from "../../src/adapters/timescale/binary-copy.js";
import { connectDatabase } from "../../src/adapters/timescale/connect.js";
import { createTelemetryStore } from "../../src/adapters/timescale/telemetry-store.js";
import {
  change,
  claimLane,
  knownSensor,
  moved,
  NOW_US,
  row,
} from "../conformance/telemetry-store-batches.js";
import { whyNoTimescale } from "../support/database.js";
import { withStore } from "./timescale-rig.js";

const columnstore = suite("rows that meet a columnstore chunk");
const DAY_US = 86_400_000_000;
const skip = await whyNoTimescale();
if (skip !== null)
  console.log(`skipped: rows that meet a columnstore chunk: ${skip}`);
const test = skip === null ? columnstore : columnstore.skip;

test("duplicates and conflicts in a columnstore chunk are told apart, beyond the decompression limit too", async () => {
  await withStore("auto", async (store, { admin, url }) => {
    const { dev, temp } = await knownSensor(store);
    const lane = await claimLane(store);
    const from = NOW_US - 10 * DAY_US;
    const at = (i: number, value = i) =>
      row(temp, from + i * 1_000_000, value, i);
    const first = Array.from({ length: 3_000 }, (_, i) => at(i));
    await lane.flush(3_000, { changes: [change(dev, { rows: first })] });
    await admin.query(
      "SELECT compress_chunk(c) FROM show_chunks('store.telemetry_data') c",
    );
    const name = new URL(url).pathname.slice(1);
    await admin.query(
      `ALTER DATABASE ${name} SET timescaledb.max_tuples_decompressed_per_dml_transaction = 100`,
    );

    const limited = createTelemetryStore({
      url,
      name: "rows test limited",
      poolMin: 0,
      poolMax: 2,
    });
    const again = [at(1_500), at(1_501, -1), at(2_999), at(3_000), at(3_001)];
    try {
      const result = moved(
        await limited.flush(
          lane.batch(5, { changes: [change(dev, { rows: again })] }),
          async () => {},
        ),
      );
      assert.equal(
        [result.stored, result.duplicates, result.conflicts, result.refused],
        [2, 2, 1, 0],
      );
    } finally {
      await limited.close();
    }
    const { rows: counted } = await admin.query<{ n: string; sum: number }>(
      "SELECT count(*) AS n, sum(value) FROM store.telemetry_data",
    );
    assert.equal(counted, [{ n: "3002", sum: (3_001 * 3_002) / 2 }]);
  });
});

test("the straight COPY is what the decompression limit stops", async () => {
  await withStore("auto", async (store, { admin, url }) => {
    const { dev, temp } = await knownSensor(store);
    const lane = await claimLane(store);
    const rowsOf = (from: number, n: number) =>
      Array.from({ length: n }, (_, i) =>
        row(temp, from + i * 1_000_000, i, i),
      );
    const from = NOW_US - 10 * DAY_US;
    await lane.flush(1, {
      changes: [change(dev, { rows: rowsOf(from, 3_000) })],
    });
    await admin.query(
      "SELECT compress_chunk(c) FROM show_chunks('store.telemetry_data') c",
    );
    const again = rowsOf(from, 2_000);
    const database = connectDatabase({
      url,
      name: "rows test",
      role: null,
      poolMin: 0,
      poolMax: 1,
    });
    try {
      await database.use("copy", async (session) => {
        await session.run(
          "SET timescaledb.max_tuples_decompressed_per_dml_transaction = 100",
        );
        await session.copy(
          "COPY store.telemetry_data (time, sensor_id, value, text_value) FROM STDIN (FORMAT binary)",
          createRowEncoder().encode(again),
        );
      });
      assert.unreachable("the COPY should have met the limit");
    } catch (error) {
      assert.is(((error as Error).cause as { code?: string }).code, "53400");
    } finally {
      await database.close();
    }
  });
});

columnstore.run();
