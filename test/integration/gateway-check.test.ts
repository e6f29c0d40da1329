/** `twinstream check`: what it says of services that are well, not migrated, wrongly set up, and away. */
import { randomBytes } from "node:crypto";
import mqtt from "mqtt";
import pg from "pg";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { findingsIn } from "../../src/adapters/redis/redis-check.js";
import { checkQueue } from "../../src/adapters/mqtt/queue-check.js";
import { freePort, runCommand } from "../support/roles.js";
import { withServices } from "../support/services.js";
import { within } from "../support/wait.js";

const check = suite("twinstream check");

interface Report {
  ok: boolean;
  findings: {
    part: string;
    verdict: string;
    found: string;
    remedy: string | null;
  }[];
}

check("says what is not migrated, then that all is well", () =>
  withServices(["kafka", "redis", "postgres", "mqtt"], async (shared) => {
    const name = `check_${randomBytes(6).toString("hex")}`;
    const admin = new pg.Client(shared["DATABASE_URL"]);
    await admin.connect();
    await admin.query(`CREATE DATABASE ${name}`);
    const url = new URL(shared["DATABASE_URL"] ?? "");
    url.pathname = `/${name}`;
    const env = { ...shared, DATABASE_URL: url.href };
    try {
      const before = await runCommand(
        ["check", "--json", "--messages", "0"],
        env,
      );
      assert.is(before.code, 1);
      const report = JSON.parse(before.output) as Report;
      assert.is(report.ok, false);
      const missing = report.findings.find(
        ({ part, verdict }) => part === "database" && verdict === "wrong",
      );
      assert.is(missing?.remedy, "run: twinstream migrate");

      assert.is((await runCommand(["migrate"], env)).code, 0);
      const after = await runCommand(["check"], env);
      assert.is(after.code, 0, after.output);
      assert.match(after.output, "kept all 5000 messages");
      for (const part of ["MQTT", "log", "Redis", "database", "objects"])
        assert.match(after.output, new RegExp(`^ok +${part} `, "m"));
    } finally {
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
    }
  }),
);

check("leaves no session and no message at the broker", () =>
  withServices(["mqtt"], async ({ MQTT_URL: url = "" }) => {
    const watcher = await mqtt.connectAsync(url);
    try {
      const topics = new Set<string>();
      watcher.on("message", (topic) => topics.add(topic));
      await watcher.subscribeAsync("twinstream/check/+", { qos: 0 });
      const findings = await checkQueue({ url, messages: 50, stageMs: 10_000 });
      assert.ok(findings.every(({ verdict }) => verdict === "ok"));
      assert.is(topics.size, 1);
      // Retained messages would come to a new subscriber.
      topics.clear();
      const late = await mqtt.connectAsync(url);
      late.on("message", (topic) => topics.add(topic));
      await late.subscribeAsync("twinstream/check/+", { qos: 1 });
      await late.endAsync();
      assert.is(topics.size, 0);
    } finally {
      await watcher.endAsync();
    }
  }),
);

check(
  "looks at each service although all are away, and in bounded time",
  async () => {
    const nowhere = `127.0.0.1:${await freePort()}`;
    const { code, output } = await within(
      60_000,
      runCommand(["check", "--json"], {
        MQTT_URL: `mqtt://u:hunter2@${nowhere}`,
        KAFKA_BROKERS: nowhere,
        REDIS_URL: `redis://:hunter2@${nowhere}`,
        DATABASE_URL: `postgres://u:hunter2@${nowhere}/x`,
        DATABASE_READ_URL: `postgres://u:hunter2@${nowhere}/x`,
        STORAGE_TYPE: "minio",
        MINIO_ENDPOINT: `http://${nowhere}`,
        MINIO_SECRET_KEY: "hunter2",
      }),
      "the check",
    );
    assert.is(code, 1);
    assert.not.match(output, "hunter2");
    const { findings } = JSON.parse(output) as Report;
    assert.equal(
      findings.map(({ part, verdict }) => `${part} ${verdict}`),
      [
        "MQTT wrong",
        "log wrong",
        "Redis wrong",
        "database wrong",
        "objects wrong",
        "read replica wrong",
      ],
    );
    for (const { remedy } of findings) assert.match(remedy ?? "", "start it");
  },
);

check("bad settings and arguments have an exit code of their own", async () => {
  const bad = await runCommand(["check"], { HTTP_PORT: "many" });
  assert.is(bad.code, 2);
  assert.match(bad.output, "HTTP_PORT");
});

check("knows a Redis that would lose what it was given", () => {
  const info = (lines: Record<string, string>): string =>
    Object.entries({
      redis_version: "7.0.15",
      role: "master",
      maxmemory: "1000000",
      maxmemory_policy: "noeviction",
      ...lines,
    })
      .map(([key, value]) => `${key}:${value}\r\n`)
      .join("");
  const verdicts = (lines: Record<string, string>): string[] =>
    findingsIn(info(lines)).map(({ verdict }) => verdict);
  assert.equal(verdicts({}), ["ok", "ok", "ok"]);
  assert.equal(verdicts({ maxmemory_policy: "allkeys-lru" }), [
    "ok",
    "ok",
    "wrong",
  ]);
  assert.equal(verdicts({ maxmemory: "0" }), ["ok", "ok", "advice"]);
  assert.equal(verdicts({ role: "slave" }), ["ok", "wrong", "ok"]);
  assert.equal(verdicts({ redis_version: "6.0.16" }), ["wrong", "ok", "ok"]);
});
check.run();
