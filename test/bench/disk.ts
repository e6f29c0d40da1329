/**
 * What a row takes on disk and what a device takes in Redis: rows of a day as they come in, with their index, then the same
 * chunks in the columnstore; and a device's last state and history. Sizes, so that how busy the machine is does not matter.
 *
 *   npm run bench:disk -- --devices 1000 --points 4 --seconds 60
 */
import { Redis } from "ioredis";
import { from as copyFrom } from "pg-copy-streams";
import { createDeviceView } from "../../src/adapters/redis/device-view.js";
import {
  createRowEncoder,
  ROW_COLUMNS,
} from "../../src/adapters/timescale/binary-copy.js";
import type { Row } from "../../src/domain/device.js";
import { openDatabase } from "../support/database.js";
import { withServices } from "../support/services.js";
import { deviceName, payloadOf } from "./frame/backlog.js";
import { runBench } from "./frame/bench.js";
import { shownDevice } from "./frame/shown.js";

/** Row by columnstore: less than this, and the store would not fit where it was planned for. */
const FLOOR = 0.5;
const ROWS_A_COPY = 10_000;
/** Messages of a device in its history at one a minute, for five hours. */
const HISTORY = 300;

let seed = 1;
/** −1 to 1, the same in every run. */
function noise(): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return (seed >>> 8) / 2 ** 23 - 1;
}

await runBench(
  "disk",
  {
    devices: "1000",
    points: "4",
    seconds: "60",
    messages: "1440",
    shown: "500",
  },
  async ({ number, say, figure }) => {
    const database = await openDatabase({
      extension: "auto",
      rawRetentionDays: 0,
    });
    const { admin } = database;
    try {
      const sensors = number("devices") * number("points");
      const dayMs = Math.floor(Date.now() / 86_400_000 - 10) * 86_400_000;
      const encoder = createRowEncoder();
      let rows: Row[] = [];
      let count = 0;
      const send = async () => {
        const copy = admin.query(
          copyFrom(
            `COPY store.telemetry_data ${ROW_COLUMNS} FROM STDIN (FORMAT binary)`,
          ),
        );
        const done = new Promise((resolve, reject) =>
          copy.on("finish", resolve).on("error", reject),
        );
        copy.end(encoder.encode(rows));
        await done;
        count += rows.length;
        rows = [];
      };
      // As devices send: every one of them, then a minute later again.
      for (let round = 0; round < number("messages"); round++) {
        for (let id = 1; id <= sensors; id++) {
          // A daily wave and noise of its own for each: what a columnstore cannot foresee, at two decimals.
          const value =
            Math.round(
              (20 + 5 * Math.sin(round / 229 + id) + noise() * 0.5) * 100,
            ) / 100;
          rows.push({
            sensor: { id },
            timeUs: (dayMs + round * number("seconds") * 1000) * 1000,
            value,
            text: null,
          } as Row);
          if (rows.length === ROWS_A_COPY) await send();
        }
      }
      if (rows.length > 0) await send();
      await admin.query("VACUUM ANALYZE store.telemetry_data");
      const size = async () =>
        Number(
          (
            await admin.query<{ size: string }>(
              "SELECT hypertable_size('store.telemetry_data') AS size",
            )
          ).rows[0]!.size,
        );
      const plain = await size();
      say(
        `${count.toLocaleString("en")} rows in ${Math.round(plain / 1e6)} MB`,
      );
      await admin.query(
        "SELECT compress_chunk(c) FROM show_chunks('store.telemetry_data') AS c",
      );
      await admin.query("VACUUM ANALYZE store.telemetry_data");
      const packed = await size();
      say(`in the columnstore ${Math.round(packed / 1e6)} MB`);
      const of = `${sensors.toLocaleString("en")} sensors, a row each ${number("seconds")} s`;
      figure({
        of,
        what: "bytes a row, with its index",
        less: true,
        runs: [plain / count],
      });
      figure({
        of,
        what: "bytes a row, in the columnstore",
        less: true,
        runs: [packed / count],
        bare: [plain / count],
        floorRatio: FLOOR,
      });
    } finally {
      await database.drop();
    }
    await withServices(["redis"], async (env) => {
      const redis = new Redis(env["REDIS_URL"]!);
      const view = createDeviceView({
        url: env["REDIS_URL"]!,
        historySeconds: 18_000,
        clock: Date.now,
      });
      const used = async () =>
        Number(/used_memory:(\d+)/.exec(await redis.info("memory"))![1]);
      await view.ping();
      const before = await used();
      let bytes = 0;
      for (let n = 0; n < number("shown"); n++) {
        const messages = Array.from({ length: HISTORY }, (_, i) => {
          const ms = Date.now() - (HISTORY - i) * 60_000;
          const payload = payloadOf(n, i, number("points"), ms).toString();
          return { timestamp: ms / 1000, payload };
        });
        const change = shownDevice(n, deviceName(n), messages);
        for (const { member } of change.history) bytes += member.length;
        await view.write({ changes: [change], publish: false, mark: null });
      }
      const taken = (await used()) - before;
      const of = `a history of ${HISTORY} messages of ${number("points")} points`;
      figure({
        of,
        what: "bytes of Redis a device",
        less: true,
        runs: [taken / number("shown")],
      });
      figure({
        of,
        what: "bytes of Redis a message",
        less: true,
        runs: [taken / number("shown") / HISTORY],
        bare: [bytes / number("shown") / HISTORY],
        floorRatio: 3,
      });
      await view.close();
      redis.disconnect();
    });
  },
);
