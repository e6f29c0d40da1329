/** The worker: claim checks → objects → rows, and bulk notes → log. */
import { setFlagsFromString } from "node:v8";
import { createLogInspector } from "../adapters/kafka/inspector.js";
import { createLaneFeed } from "../adapters/kafka/lane-feed.js";
import { createLogWriter } from "../adapters/kafka/writer.js";
import { createObjectStore } from "../adapters/objects/store.js";
import { createUploadStore } from "../adapters/timescale/uploads-store.js";
import { createJudge } from "../domain/judge.js";
import { TOPIC } from "../domain/names.js";
import { createClaimHandler } from "../pipeline/upload-claims.js";
import { createIngest } from "../pipeline/upload-ingest.js";
import { createWorker } from "../pipeline/worker.js";
import { decodeRules } from "./decode-rules.js";
import { logConnection } from "./kafka-log.js";
import { startPatience, tellTroubles } from "./role-readiness.js";
import type { Role, RoleBase } from "./role.js";

const STOP_MS = 12_000;
const HOUR_MS = 3_600_000;
/**
 * By how much V8 lets its heap grow between two full collections, percent. Left to itself it let it double and more, while
 * what a worker holds at a time stays the same: 260 MiB resident instead of 160 with a file of 200 MB.
 */
const HEAP_GROWTH = 30;
/** Brackets open at a time in one equipment: it takes three. */
const DEPTH = 64;
/** Equipments of an upload: more than BULK_MAX_BYTES has room for, unless it is raised far. */
const EQUIPMENTS = 100_000_000;

export const worker: Role = { name: "worker", start };

async function start(base: RoleBase): Promise<void> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH}`);
  const { config, observer, log: lines } = base;
  const connection = logConnection(base, "worker");
  const log = createLogInspector(connection);
  base.onStop("log inspector", log.close);
  const notes = createLogWriter(connection);
  base.onStop("log", notes.close);
  const deadLetters = createLogWriter(connection);
  base.onStop("dead letters", deadLetters.close);
  const store = createUploadStore({
    url: config.DATABASE_URL,
    name: "worker",
    poolMin: config.DB_POOL_MIN,
    poolMax: config.DB_POOL_MAX,
  });
  base.onStop("database", store.close);
  const objects = createObjectStore(config, (text) => lines.warn(text));
  base.onStop("objects", objects.close);

  const patiently = startPatience(base, "worker");
  await patiently(() => objects.prepare(config.FILE_RETENTION_DAYS));
  const clusterId = await patiently(() => log.clusterId());
  const partitions = (await patiently(() => log.bounds(TOPIC.data))).length;

  const shared = { store, observer, clock: Date.now, clusterId };
  const running = createWorker({
    feed: createLaneFeed(connection, {
      groupId: config.WORKER_GROUP,
      topics: [TOPIC.uploads],
    }),
    claims: createClaimHandler({
      ...shared,
      objects,
      deadLetters,
      ingest: createIngest({
        ...shared,
        log: notes,
        partitions,
        historyMs: config.HISTORY_HOURS * HOUR_MS,
      }),
      // Who may upload is the gateway's to say.
      judge: createJudge({
        ...decodeRules(config, partitions),
        tenants: new Set(),
      }),
      limits: {
        uploadBytes: config.BULK_MAX_BYTES,
        maxRatio: config.BULK_MAX_RATIO,
        elementBytes: config.BULK_MAX_EQUIPMENT_BYTES,
        depth: DEPTH,
        elements: EQUIPMENTS,
      },
      batchReadings: config.BULK_INSERT_BATCH_SIZE,
      removeObjects: config.DELETE_FILE_AFTER_PROCESSING,
    }),
    observer,
    clock: Date.now,
    watchdogMs: config.WATCHDOG_SECONDS * 1000,
    tracer: base.tracer,
    giveUp: base.giveUp,
  });
  base.onStop("worker", () => running.stop(STOP_MS));
  tellTroubles(base, "worker", () => running.troubles());
  await running.start();
}
