/** A log or a database that was wiped under the other is refused with one clear line, and taken once an operator says so. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { withRunning } from "../support/fleet.js";
import { runCommand, startRole } from "../support/roles.js";
import { until } from "../support/wait.js";

const LOAD = ["--devices", "20", "--rate", "1000", "--messages", "1000"];
const test = suite("stored offsets and the log they belong to");

test("a wiped log is refused until it is adopted; then everything goes on", async () => {
  await withRunning({}, async (running) => {
    const { stack, env, database } = running;
    const bridge = await running.start("bridge");
    const processor = await running.start("processor");
    await running.simulate(LOAD);
    await running.settled();
    const before = await running.rows("sim-%");
    await processor.stop();
    await bridge.stop();

    await stack.services.kafka.wipe();
    await stack.services.kafka.start();
    const { code, output } = await runCommand(["migrate", "--json"], env);
    assert.is(code, 0, output);
    const made = JSON.parse(output.trim().split("\n").at(-1)!);
    assert.ok(made.topics.includes("iot-data"), output);
    assert.equal(made.applied, []);
    const again = await startRole("processor", env);
    try {
      await until(() => again.output().includes("offsets adopt"), {
        withinMs: 30_000,
        what: "the refusal to name the way out",
      });
      await until(
        async () => {
          const ready = await fetch(`${again.metricsUrl}/ready`);
          const said = await ready.text();
          return ready.status === 503 && said.includes("log cluster");
        },
        { withinMs: 10_000, what: "readiness to say why" },
      );

      const listed = await runCommand(["offsets", "list"], env);
      assert.is(listed.code, 1, "what does not fit is a failure");
      assert.match(listed.output, "belongs to log cluster");
      const adopted = await runCommand(["offsets", "adopt"], env);
      assert.is(adopted.code, 0, adopted.output);
      await again.ready(60_000);

      await running.start("bridge");
      await running.simulate(LOAD);
      await running.settled();
      const after = await running.rows("sim-%");
      assert.ok(after.length > before.length);
      const kept = new Set(after);
      assert.ok(before.every((row) => kept.has(row)));

      const rewound = await runCommand(
        ["offsets", "rewind", "--to", "earliest"],
        env,
      );
      assert.is(rewound.code, 0, rewound.output);
      assert.match(rewound.output, "begins at 0");
      await running.settled();
      assert.equal(await running.rows("sim-%"), after);
      const { rows } = await database.query<{ n: string }>(
        "SELECT count(*) AS n FROM ingest_errors",
      );
      assert.is(rows[0]!.n, "0", "reading again makes no dead letters");

      await again.stop();
      await database.query(
        "TRUNCATE store.telemetry_data; TRUNCATE equipments, stream_offsets CASCADE",
      );
      const empty = await runCommand(["offsets", "list"], env);
      assert.is(empty.code, 1, "before any processor has claimed there, too");
      assert.match(empty.output, "the database has nothing stored");
      const taken = await runCommand(["offsets", "adopt"], env);
      assert.is(taken.code, 0, taken.output);
      await running.start("processor");
      await running.settled();
      const restored = new Set(await running.rows("sim-%"));
      assert.equal(
        after.filter((row) => !restored.has(row) && !kept.has(row)),
        [],
        "all that the log has is stored once more",
      );
    } finally {
      await again.kill();
    }
  });
});

test.run();
