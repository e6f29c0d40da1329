/** Services that stop, die and come back under load: readiness says why, and all that the fleet was told is safe is stored once. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FAULTLESS } from "../../src/simulator/compare.js";
import { withRunning, type Running } from "../support/fleet.js";
import { compareLedger } from "../support/ledger.js";
import type { RoleProcess } from "../support/roles.js";
import { until, within } from "../support/wait.js";

const test = suite("services that fail");

const PATIENCE_MS = 30_000;
/** Enough for what holds it up to be noticed, short enough that a test stays short. */
const LOAD_SECONDS = 6;

interface Ready {
  readonly ready: boolean;
  readonly reasons: string;
}

async function readiness({ metricsUrl }: RoleProcess): Promise<Ready> {
  const response = await fetch(`${metricsUrl}/ready`);
  const { ready, parts } = (await response.json()) as {
    ready: boolean;
    parts: { reason: string | null }[];
  };
  assert.is(response.status, ready ? 200 : 503);
  return { ready, reasons: parts.map(({ reason }) => reason ?? "").join("; ") };
}

const saysWhy = (role: RoleProcess, why: RegExp): Promise<string> =>
  until(
    async () => {
      const { ready, reasons } = await readiness(role);
      return !ready && why.test(reasons) && reasons;
    },
    { withinMs: PATIENCE_MS, what: `readiness to say ${String(why)}` },
  );

const isWell = (role: RoleProcess, what: string): Promise<boolean> =>
  until(async () => (await readiness(role)).ready, {
    withinMs: PATIENCE_MS,
    what: `${what} to be ready again`,
  });

/**
 * A load during which something fails and comes back; afterwards everything that was acknowledged is stored, once.
 * @param prefix of the device ids of this load
 */
async function underLoad(
  running: Running,
  prefix: string,
  trouble: () => Promise<void>,
): Promise<void> {
  const load = running.simulate([
    "--devices",
    "60",
    "--rate",
    "600",
    "--prefix",
    prefix,
    "--duration",
    `${LOAD_SECONDS}s`,
    "--drain",
    "30s",
    "--poison",
    "0.02",
    "--duplicates",
    "0.02",
  ]);
  // A failure of the trouble is told first; that of the load must not be unhandled meanwhile.
  load.catch(() => undefined);
  await until(
    async () => {
      const { rowCount } = await running.database.query(
        "SELECT FROM ts_measure WHERE device_id LIKE $1 LIMIT 500",
        [`${prefix}%`],
      );
      return rowCount === 500;
    },
    { withinMs: PATIENCE_MS, what: `the load of ${prefix} to be under way` },
  );
  await trouble();
  const ledger = await within(90_000, load, `the load of ${prefix} to end`);
  await running.settled();
  const found = await compareLedger(ledger, running.env, prefix);
  assert.ok(found.accepted > 1000, `only ${found.accepted} were accepted`);
  for (const kind of FAULTLESS)
    assert.equal(found[kind], [], `${prefix} ${kind}`);
}

test("Redis stopped, and PostgreSQL stopped", async () => {
  await withRunning({}, async (running) => {
    const { redis, postgres } = running.stack.services;
    await running.start("bridge");
    const processor = await running.start("processor");
    const gateway = await running.start("gateway");
    await underLoad(running, "redis-", async () => {
      await redis.stop();
      await saysWhy(processor, /waits for redis/);
      await saysWhy(gateway, /redis/);
      await redis.start();
      await isWell(processor, "the processor");
      await isWell(gateway, "the gateway");
    });
    await underLoad(running, "pg-", async () => {
      await postgres.stop();
      await saysWhy(processor, /waits for database/);
      await saysWhy(gateway, /database/);
      await postgres.start();
      await running.reopenDatabase();
      await isWell(processor, "the processor");
      await isWell(gateway, "the gateway");
    });
  });
});

test("the log killed and restarted", async () => {
  await withRunning({}, async (running) => {
    const { kafka } = running.stack.services;
    const bridge = await running.start("bridge");
    const processor = await running.start("processor");
    const gateway = await running.start("gateway");
    await underLoad(running, "log-", async () => {
      await kafka.kill("SIGKILL");
      await saysWhy(bridge, /waits for the log/);
      await saysWhy(processor, /waits for the log/);
      await saysWhy(gateway, /log/);
      await kafka.start();
      await isWell(bridge, "the bridge");
      await isWell(processor, "the processor");
      await isWell(gateway, "the gateway");
    });
  });
});

test("the broker restarted, and the bridge killed", async () => {
  await withRunning({}, async (running) => {
    const { mqtt } = running.stack.services;
    const bridge = await running.start("bridge");
    const processor = await running.start("processor");
    await underLoad(running, "broker-", async () => {
      await mqtt.stop();
      await saysWhy(bridge, /waits for the MQTT broker/);
      await mqtt.start();
      await isWell(bridge, "the bridge");
    });
    await underLoad(running, "bridge-", async () => {
      await bridge.kill();
      await running.start("bridge");
    });
    await isWell(processor, "the processor");
  });
});

test.run();
