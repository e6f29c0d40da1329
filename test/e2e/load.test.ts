/** A fleet under load, and processors that die, come and go: what the fleet was told is safe is stored, once, in order. */
import { Redis } from "ioredis";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FAULTLESS } from "../../src/simulator/compare.js";
import { withRunning, type Running } from "../support/fleet.js";
import { compareLedger } from "../support/ledger.js";
import { until, within } from "../support/wait.js";

const test = suite("a fleet under load");

const FLEET = ["--devices", "120", "--rate", "1500", "--seed", "11"];
const TROUBLE = [
  "--poison",
  "0.02",
  "--duplicates",
  "0.05",
  "--out-of-order",
  "0.1",
];

async function storedPoints({ database }: Running): Promise<number> {
  const { rows } = await database.query<{ n: string }>(
    "SELECT count(*) AS n FROM telemetry_data",
  );
  return Number(rows[0]!.n);
}

async function holds(
  running: Running,
  ledger: Awaited<ReturnType<Running["simulate"]>>,
): Promise<void> {
  const found = await compareLedger(ledger, running.env, "sim-");
  assert.ok(found.accepted > 1000, `only ${found.accepted} were accepted`);
  assert.equal(found.brokerLoss, []);
  for (const kind of FAULTLESS) assert.equal(found[kind], [], kind);
}

test("kill -9 of the processor in the middle of a load leaves rows equal to the ledger", async () => {
  await withRunning({}, async (running) => {
    await running.start("bridge");
    let processor = await running.start("processor");
    const load = running.simulate([...FLEET, ...TROUBLE, "--duration", "12s"]);
    for (let kills = 0; kills < 3; kills++) {
      const before = await storedPoints(running);
      await until(async () => (await storedPoints(running)) > before + 3000, {
        withinMs: 30_000,
        what: "the load to be under way",
      });
      await processor.kill();
      processor = await running.start("processor");
    }
    const ledger = await within(60_000, load, "the simulator to end");
    await running.settled();
    await holds(running, ledger);
  });
});

test("processors that join and leave under load lose and double nothing, and keep the order", async () => {
  await withRunning({}, async (running) => {
    await running.start("bridge");
    const first = await running.start("processor", { PROCESSOR_ID: "first" });
    const watching = watchOrder(running.env["REDIS_URL"]!);
    const load = running.simulate([...FLEET, "--duration", "14s"]);
    await until(async () => (await storedPoints(running)) > 3000, {
      withinMs: 30_000,
      what: "the load to be under way",
    });
    const second = await running.start("processor", { PROCESSOR_ID: "second" });
    await until(
      async () => (await second.metric("ingest_points_total")) > 2000,
      { withinMs: 30_000, what: "the second processor to take its share" },
    );
    assert.is(await first.stop(), 0, "a clean stop exits with 0");
    const ledger = await within(60_000, load, "the simulator to end");
    await running.settled();
    await holds(running, ledger);
    const seen = await watching.stop();
    assert.ok(seen.messages > 5000, `only ${seen.messages} updates were seen`);
    assert.equal(seen.backwards, [], "updates of a device came out of order");
  });
});

test("replaying a partition from its beginning leaves identical rows and state", async () => {
  await withRunning({}, async (running) => {
    await running.start("bridge");
    let processor = await running.start("processor");
    await running.simulate([...FLEET, ...TROUBLE, "--messages", "4000"]);
    await running.settled();
    const before = await snapshot(running);
    await processor.stop();
    await running.database.query(
      "UPDATE stream_offsets SET next_offset = 0, last_record_time = NULL, epoch = epoch + 1",
    );
    const redis = new Redis(running.env["REDIS_URL"]!);
    for (let partition = 0; partition < 12; partition++)
      await redis.set(`twinstream:applied:iot-data:${partition}`, "0");
    await redis.quit();
    processor = await running.start("processor");
    await running.settled();
    const after = await snapshot(running);
    assert.ok(before.rows.length > 4000);
    assert.equal(after, before);
  });
});

async function snapshot(running: Running) {
  const redis = new Redis(running.env["REDIS_URL"]!);
  try {
    const keys = (await redis.keys("device:*")).toSorted();
    const view: Record<string, unknown> = {};
    for (const key of keys)
      view[key] = key.startsWith("device:history:")
        ? await redis.zrange(key, "0", "-1")
        : await redis.hgetall(key);
    const { rows } = await running.database.query(
      "SELECT log_partition, log_offset, item, reason FROM ingest_errors ORDER BY 1, 2, 3",
    );
    return { rows: await running.rows("sim-%"), view, letters: rows };
  } finally {
    await redis.quit();
  }
}

/** Listens to every update and notes where a device's sequence number went back. */
function watchOrder(url: string) {
  const redis = new Redis(url);
  const last = new Map<string, number>();
  const seen = { messages: 0, backwards: [] as string[] };
  redis.on("pmessage", (_pattern: string, channel: string, text: string) => {
    seen.messages++;
    const { payload } = JSON.parse(text) as {
      payload: { seq?: number; points?: { name: string; v: number }[] };
    };
    const seq =
      payload.seq ?? payload.points?.find(({ name }) => name === "seq")?.v;
    if (seq === undefined) return;
    // A replay repeats what was published; it begins again at an earlier number and then ascends.
    const before = last.get(channel);
    if (before !== undefined && seq < before)
      seen.backwards.push(`${channel}: ${seq} after ${before}`);
    last.set(channel, seq);
  });
  void redis.psubscribe("device-updates:*");
  return {
    async stop() {
      await redis.quit();
      return seen;
    },
  };
}

test.run();
