/** The TelemetryStore of TimescaleDB and of plain PostgreSQL: each verb's statement stands in the file of its name. */
import type { TelemetryStore } from "../../ports.js";
import { claim } from "./claim.js";
import { connectDatabase } from "./connect.js";
import { type Facts, readFacts } from "./facts.js";
import { flush, type FlushTools } from "./flush.js";
import {
  noteGap,
  onlineDevices,
  openCommands,
  tenants,
} from "./lane-memory.js";
import { maintain } from "./maintain.js";
import { newest } from "./newest.js";
import { createPartitionKeeper } from "./partitions.js";
import { register } from "./register.js";
import { createRegisteredAdapters } from "./registered-adapters.js";
import { createRowWriter } from "./rows.js";
import { wake } from "./wake.js";

export interface TelemetryStoreOptions {
  readonly url: string;
  /** Shown in pg_stat_activity, after `twinstream`. */
  readonly name: string;
  readonly poolMin: number;
  readonly poolMax: number;
  /** How long one statement or COPY may take, milliseconds; 60,000 unless given. */
  readonly deadlineMs?: number;
  /** How long a claim waits for a lock before it ends who holds it, milliseconds; 5,000 unless given. */
  readonly claimPatienceMs?: number;
}

const MAINTENANCE_MS = 3_600_000;

/** Connects with the first call, not here. */
export function createTelemetryStore(
  options: TelemetryStoreOptions,
): TelemetryStore {
  const database = connectDatabase({ ...options, role: "twinstream_writer" });
  const maintenance = connectDatabase({
    url: options.url,
    name: `${options.name} maintenance`,
    role: null,
    poolMin: 0,
    poolMax: 1,
    deadlineMs: MAINTENANCE_MS,
  });
  let tools: Promise<FlushTools> | undefined;

  async function prepare(): Promise<FlushTools> {
    const facts: Facts = await database.use("read settings", readFacts);
    return {
      database,
      facts,
      storeRows: createRowWriter().storeRows,
      ensurePartitions:
        facts.engine === "postgresql"
          ? createPartitionKeeper(database, facts.rawRetentionDays)
          : async () => {},
    };
  }
  /** Read once; a failed read is tried again with the next flush. */
  function flushTools(): Promise<FlushTools> {
    tools ??= prepare().catch((error: unknown) => {
      tools = undefined;
      throw error;
    });
    return tools;
  }

  return {
    claim: (topics, partition, owner) =>
      claim(database, topics, partition, owner, options.claimPatienceMs),
    wake: (devices) =>
      database.use("wake devices", (session) => wake(session, devices)),
    newest: (devices) =>
      database.use("read newest values", (session) =>
        newest(session, devices, "store.telemetry_data"),
      ),
    register: (...given) => register(database, ...given),
    flush: async (batch, beforeCommit) =>
      flush(await flushTools(), batch, beforeCommit),
    openCommands: (partition) =>
      database.use("read open commands", (session) =>
        openCommands(session, partition),
      ),
    onlineDevices: (partition) =>
      database.use("read online devices", (session) =>
        onlineDevices(session, partition),
      ),
    tenants: () => database.use("read tenants", tenants),
    registeredAdapters: createRegisteredAdapters(database),
    noteGap: (topic, partition, from, to) =>
      database.use("note a gap", (session) =>
        noteGap(session, topic, partition, from, to),
      ),
    maintain: async () => {
      await maintenance.use("maintain", maintain);
    },
    ping: async () => {
      await database.use("ping", readFacts);
    },
    close: async () => {
      await Promise.all([database.close(), maintenance.close()]);
    },
  };
}
