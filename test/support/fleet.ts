/** A stack with the roles that a test asks for, and simulated devices against it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt from "mqtt";
import pg from "pg";
import { migrate } from "../../src/adapters/timescale/migrate.js";
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import { TOPIC } from "../../src/domain/names.js";
import { readLedger } from "./ledger.js";
import { freePort, runCommand, startRole, type RoleProcess } from "./roles.js";
import { withOwnStack, type Stack } from "./services.js";
import { until } from "./wait.js";

export interface Running {
  readonly stack: Stack;
  readonly env: Readonly<Record<string, string>>;
  /** Base address of the gateway's routes, once one is started. */
  readonly http: string;
  /** A connection as the owner of the schema, which sees every tenant. */
  readonly database: pg.Client;
  /** After the server was stopped: the connection ended with it. */
  reopenDatabase(): Promise<void>;
  /** @param script another composition root than the command line. */
  start(
    role: string,
    over?: Record<string, string>,
    script?: string,
  ): Promise<RoleProcess>;
  /** Runs `twinstream simulate` to its end and answers its ledger; throws when it fails. */
  simulate(
    args: readonly string[],
  ): Promise<Awaited<ReturnType<typeof readLedger>>>;
  /**
   * Waits until everything that the MQTT broker has acknowledged so far is stored: the bridge takes messages in the broker's
   * order, so a device's hello that comes last tells that all before it are on the log.
   */
  settled(withinMs?: number): Promise<void>;
  /** Every reading of these devices, as text, in a fixed order. */
  rows(devices: string): Promise<string[]>;
  /** For files; removed in the end. */
  readonly folder: string;
  /** What the test has opened beside the roles, to be closed in the end whatever becomes of it. */
  onEnd(release: () => Promise<unknown>): void;
}

/** Start of the ids of the devices by which `settled` knows that all is through. */
export const MARKER = "marker-";

/** How a test connects to the log by itself. */
export const quiet = (env: Readonly<Record<string, string>>) => ({
  brokers: [env["KAFKA_BROKERS"]!],
  clientId: "test",
  log: () => undefined,
});

/**
 * Brings up all services of its own, migrates, runs the test, and stops whatever it started.
 * @param extension `never` for plain PostgreSQL although the server has TimescaleDB.
 */
export async function withRunning(
  settings: Readonly<Record<string, string>>,
  work: (running: Running) => Promise<void>,
  { extension = "auto" }: { extension?: "auto" | "never" } = {},
): Promise<void> {
  await withOwnStack(["kafka", "redis", "postgres", "mqtt"], async (stack) => {
    const folder = await mkdtemp(join(tmpdir(), "twinstream-e2e-"));
    const port = await freePort();
    const env = { ...stack.env, HTTP_PORT: String(port), ...settings };
    const roles: RoleProcess[] = [];
    // The first migration decides about the engine, and whoever migrates later stays with it.
    if (extension === "never")
      await migrate({
        url: stack.env["DATABASE_URL"]!,
        rawRetentionDays: 0,
        dlqRetentionDays: 14,
        extension,
        say: () => undefined,
      });
    const migrated = await runCommand(["migrate"], env);
    if (migrated.code !== 0) throw new Error(migrated.output);
    let database = await connectDatabase(stack.env["DATABASE_URL"]!);
    const releases: (() => Promise<unknown>)[] = [];
    let runs = 0;
    let markers = 0;
    try {
      await work({
        stack,
        env,
        http: `http://127.0.0.1:${port}`,
        get database() {
          return database;
        },
        async reopenDatabase() {
          await database.end();
          database = await connectDatabase(stack.env["DATABASE_URL"]!);
        },
        folder,
        onEnd: (release) => void releases.push(release),
        async start(role, over = {}, script) {
          const started = await startRole(
            role,
            { ...env, ...over },
            script === undefined ? {} : { script },
          );
          roles.push(started);
          await started.ready();
          return started;
        },
        async simulate(args) {
          const ledger = join(folder, `ledger-${++runs}.jsonl`);
          const ran = await runCommand(
            ["simulate", ...args, "--ledger", ledger],
            env,
          );
          if (ran.code !== 0) throw new Error(ran.output);
          return readLedger(ledger);
        },
        async settled(withinMs = 60_000) {
          const marker = `${MARKER}${++markers}`;
          const mqttClient = await mqtt.connectAsync(stack.env["MQTT_URL"]!);
          await mqttClient.publishAsync(`devices/${marker}/hello`, "", {
            qos: 1,
          });
          await mqttClient.endAsync();
          const log = createLogInspector(connectLog(quiet(env)));
          try {
            await until(
              async () => {
                const { rowCount } = await database.query(
                  "SELECT FROM equipments WHERE equip_uuid = $1",
                  [marker],
                );
                return rowCount === 1;
              },
              { withinMs, what: `the hello of ${marker} to be stored` },
            );
            await until(
              async () => {
                const topics = [TOPIC.data, TOPIC.commands];
                const bounds = await Promise.all(topics.map(log.bounds));
                const { rows } = await database.query<{ done: string }>(
                  "SELECT coalesce(sum(greatest(next_offset, 0)), 0) AS done FROM stream_offsets WHERE topic = ANY ($1)",
                  [topics],
                );
                const end = bounds
                  .flat()
                  .reduce((sum, { high }) => sum + high, 0);
                return Number(rows[0]!.done) === end;
              },
              { withinMs, what: "everything on the log to be stored" },
            );
          } finally {
            await log.close();
          }
        },
        async rows(devices) {
          const { rows } = await database.query<{ line: string }>(
            `SELECT concat_ws(' ', device_id, point_id, (extract(epoch FROM ts) * 1000000)::bigint, v_num, v_bool, v_text) AS line
             FROM ts_measure WHERE device_id LIKE $1 ORDER BY 1`,
            [devices],
          );
          return rows.map(({ line }) => line);
        },
      });
    } catch (error) {
      // What the roles said is what a person needs first.
      for (const role of roles)
        if (role.output() !== "")
          console.error(role.output().split("\n").slice(-40).join("\n"));
      throw error;
    } finally {
      await Promise.allSettled(releases.map((release) => release()));
      await database.end();
      await Promise.all(roles.map((role) => role.kill()));
      await rm(folder, { recursive: true, force: true });
    }
  });
}

async function connectDatabase(url: string): Promise<pg.Client> {
  const client = new pg.Client(url);
  // The query under way fails with it, and so does the test, unless it stopped the server itself.
  client.on("error", () => undefined);
  await client.connect();
  return client;
}
