/**
 * What a live device actor takes of memory, against the same state in a map, and how long devices take to wake with what the
 * database remembers of them, against the bare question for the same rows.
 *
 *   npm run bench:actors -- --actors 100000 --runs 5
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createTelemetryStore } from "../../src/adapters/timescale/telemetry-store.js";
import { openDatabase, type TestDatabase } from "../support/database.js";
import { deviceName } from "./frame/backlog.js";
import { runBench } from "./frame/bench.js";

const MEMORY = fileURLToPath(new URL("actor-memory.js", import.meta.url));
/** 6 KB a live actor is the goal; they were at 4.6 once, and are to stay below that. */
const BYTES = { goal: 6144, floor: 4608 };
/** Actors by the same states in a map, which are so small that most of an actor is what nact puts around its state. */
const MEMORY_FLOOR = 5;
/** Waking by the bare question. */
const WAKE_FLOOR = 4;
const POINTS = 4;

const BARE_QUESTION = `
  SELECT e.*, s.id, s.sensor_uuid, s.type_class, s.unit FROM equipments e LEFT JOIN sensors s ON s.equipment_id = e.id
  WHERE e.tenant_id = 'default' AND e.equip_uuid = ANY ($1)`;

async function register(
  { admin }: TestDatabase,
  devices: number,
): Promise<void> {
  await admin.query(
    `INSERT INTO equipments (id, tenant_id, equip_uuid, log_partition)
     SELECT n, 'default', 'bench-' || lpad(n::text, 6, '0'), 0 FROM generate_series(1, $1::int) AS n`,
    [devices],
  );
  await admin.query(
    `INSERT INTO sensors (equipment_id, tenant_id, sensor_uuid, sensor_tipo, type_class, unit)
     SELECT e.id, 'default', 'point_' || n, 'float', 'num', '°C' FROM equipments e, generate_series(0, $1::int - 1) AS n`,
    [POINTS],
  );
  await admin.query("VACUUM ANALYZE");
}

const millisecondsOf = async (
  work: () => Promise<unknown>,
): Promise<number> => {
  const began = performance.now();
  await work();
  return performance.now() - began;
};

await runBench(
  "actors",
  { actors: "100000", devices: "20000", batches: "1,100,5000", runs: "3" },
  async ({ settings, number, numbers, say, figure }) => {
    const measured = {
      actors: [] as { heap: number; rss: number }[],
      bare: [] as { heap: number; rss: number }[],
    };
    for (let run = 0; run < number("runs"); run++)
      for (const who of ["actors", "bare"] as const) {
        const text = execFileSync(
          process.execPath,
          ["--expose-gc", MEMORY, who, settings.actors],
          { encoding: "utf8" },
        );
        measured[who].push(JSON.parse(text) as { heap: number; rss: number });
        say(`${who}: ${text.trim()}`);
      }
    const of = `${number("actors").toLocaleString("en")} devices × ${POINTS} points`;
    figure({
      of,
      what: "bytes resident a live actor",
      less: true,
      ...BYTES,
      runs: measured.actors.map(({ rss }) => rss),
      bare: measured.bare.map(({ rss }) => rss),
    });
    figure({
      of,
      what: "bytes of heap a live actor",
      less: true,
      floorRatio: MEMORY_FLOOR,
      runs: measured.actors.map(({ heap }) => heap),
      bare: measured.bare.map(({ heap }) => heap),
    });

    const database = await openDatabase({ extension: "auto" });
    const store = createTelemetryStore({
      url: database.url,
      name: "bench",
      poolMin: 1,
      poolMax: 2,
    });
    try {
      const devices = number("devices");
      await register(database, devices);
      for (const batch of numbers("batches")) {
        const rounds = Math.max(5, Math.min(200, Math.floor(devices / batch)));
        const ours: number[] = [];
        const bare: number[] = [];
        // The first ones connect, plan and fill caches.
        for (let round = -2; round < rounds; round++) {
          const names = Array.from({ length: batch }, (_, i) =>
            deviceName(1 + (((round + 2) * batch + i) % devices)),
          );
          const refs = names.map((deviceId) => ({
            tenant: "default",
            deviceId,
            address: deviceId,
            site: null,
            equipmentId: 0,
          }));
          const woken = await millisecondsOf(async () => {
            const { size } = await store.wake(refs);
            if (size !== batch)
              throw new Error(`${size} of ${batch} devices woke`);
          });
          const asked = await millisecondsOf(() =>
            database.admin.query(BARE_QUESTION, [names]),
          );
          if (round < 0) continue;
          ours.push(woken);
          bare.push(asked);
        }
        figure({
          of: `${batch.toLocaleString("en")} ${batch === 1 ? "device" : "devices"} at a time`,
          what: "ms to wake",
          less: true,
          floorRatio: WAKE_FLOOR,
          runs: ours,
          bare,
        });
      }
    } finally {
      await store.close();
      await database.drop();
    }
  },
);
