/** `twinstream validate` against an installation that is well, and against ones where something is missing. */
import { Redis } from "ioredis";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { withRunning, type Running } from "../support/fleet.js";
import { runCommand } from "../support/roles.js";
import { within } from "../support/wait.js";

const test = suite("twinstream validate");

interface Report {
  readonly ok: boolean;
  readonly run: string;
  readonly checks: {
    check: string;
    ok: boolean;
    found: string;
    remedy: string | null;
    figures: Record<string, number>;
  }[];
  readonly left: string[];
}

async function validate(
  { env, http }: Running,
  ...args: string[]
): Promise<{ code: number; report: Report }> {
  const { code, output } = await within(
    180_000,
    runCommand(["validate", "--json", "--url", http, ...args], env),
    "the validation",
  );
  return { code, report: JSON.parse(output) as Report };
}

const failed = ({ checks }: Report): string[] =>
  checks.filter(({ ok }) => !ok).map(({ check }) => check);

test("an installation that is well passes, one with something missing fails by name", async () => {
  await withRunning({ AUTH: "on" }, async (running) => {
    await running.start("bridge");
    const processor = await running.start("processor");
    const gateway = await running.start("gateway");
    // Processors know of a new tenant within 5 s; the next checks take longer.
    const password = await addVera(running);
    await allIsWell(running);
    await asSomebody(running, password);
    await openedByHand(running);
    assert.is(await gateway.stop(), 0);
    await noGateway(running);
    assert.is(await processor.stop(), 0);
    const left = await noProcessor(running);
    await running.start("processor");
    await cleaned(running, left);
  });
});

async function allIsWell(running: Running): Promise<void> {
  const { code, report } = await validate(running);
  assert.equal(failed(report), [], JSON.stringify(report));
  assert.is(code, 0);
  assert.equal(
    report.checks.map(({ check }) => check),
    [
      "mqtt",
      "telemetry",
      "view",
      "http",
      "dead-letters",
      "throughput",
      "latency",
      "acks",
      "isolation",
    ],
  );
  const figures = Object.assign({}, ...report.checks.map((c) => c.figures));
  assert.is(figures.points, 10_000);
  assert.ok(figures.points_per_second > 0);
  assert.ok(figures.redis_p50_ms > 0 && figures.redis_p50_ms <= 1000);
  assert.ok(figures.row_p50_ms > 0 && figures.row_p50_ms <= 1000);
  const isolation = report.checks.at(-1)!.found;
  assert.match(isolation, "404 on 4 routes");
  assert.match(isolation, "none of 10 tables");
  assert.equal(report.left, []);
  await assertNothingLeft(running);
}

async function assertNothingLeft({ database, env }: Running): Promise<void> {
  const { rows } = await database.query<{ what: string }>(
    `SELECT 'equipment ' || equip_uuid AS what FROM equipments WHERE equip_uuid LIKE 'validate-%'
     UNION ALL SELECT 'user ' || username FROM users WHERE username LIKE 'validate-%'
     UNION ALL SELECT 'tenant ' || tenant_id FROM tenants WHERE tenant_id LIKE 'validate-%'
     UNION ALL SELECT 'letter ' || id FROM ingest_errors WHERE device_id LIKE 'validate-%'
     UNION ALL SELECT 'command ' || cmd_id FROM commands WHERE device_id LIKE 'validate-%'
     UNION ALL SELECT 'ack ' || cmd_id FROM cmd_ack WHERE device_id LIKE 'validate-%'
     UNION ALL SELECT 'reading ' || time FROM store.telemetry_data`,
  );
  assert.equal(rows, []);
  const redis = new Redis(env["REDIS_URL"]!);
  try {
    assert.equal(await redis.keys("device:*validate-*"), []);
    const online = await redis.zrange("devices:online", "0", "-1");
    assert.equal(
      online.filter((id) => id.startsWith("validate-")),
      [],
    );
  } finally {
    await redis.quit();
  }
}

/** Answers the password of vera, an operator of acme. */
async function addVera({ env }: Running): Promise<string> {
  const { output } = await runCommand(
    "users add vera --role operator --tenant acme --generate --json".split(" "),
    env,
  );
  const line = output.split("\n").find((one) => one.includes('"password"'));
  return (JSON.parse(line ?? "{}") as { password: string }).password;
}

async function asSomebody(running: Running, password: string): Promise<void> {
  const { code, output } = await runCommand(
    ["validate", "--url", running.http, "--only", "http,acks,isolation"].concat(
      ["--user", "vera", "--tenant", "acme"],
    ),
    { ...running.env, VALIDATE_PASSWORD: password },
  );
  assert.is(code, 0, output);
  assert.match(output, /^ok +acks .*\nok +isolation .*404 on 4 routes/m);
  assert.match(output, "all 3 checks are well");
  await assertNothingLeft(running);

  const refused = await runCommand(
    [
      "validate",
      "--url",
      running.http,
      "--only",
      "mqtt,http",
      "--user",
      "vera",
    ],
    { ...running.env, VALIDATE_PASSWORD: "wrong" },
  );
  assert.is(refused.code, 1);
  assert.match(refused.output, /^ok +mqtt/m);
  assert.match(
    refused.output,
    /^FAILED +http +.*does not let vera log in: 401/m,
  );
  assert.match(refused.output, "1 of 2 checks failed: http");
}

/** What a hand in the database may do to tenancy is found. */
async function openedByHand(running: Running): Promise<void> {
  await running.database.query(
    "GRANT USAGE ON SCHEMA store TO twinstream_reader; GRANT SELECT ON store.telemetry_data TO twinstream_reader",
  );
  const { code, report } = await validate(running, "--only", "isolation");
  assert.is(code, 1);
  assert.match(report.checks[0]!.found, "store.telemetry_data");
  await running.database.query(
    "REVOKE SELECT ON store.telemetry_data FROM twinstream_reader; REVOKE USAGE ON SCHEMA store FROM twinstream_reader",
  );
}

async function noGateway(running: Running): Promise<void> {
  const { code, report } = await validate(running, "--points", "40");
  assert.is(code, 1);
  assert.equal(failed(report), ["http", "acks", "isolation"]);
  for (const { check, found, remedy } of report.checks)
    if (["http", "acks", "isolation"].includes(check)) {
      assert.match(found, "no answer from the gateway");
      assert.match(remedy ?? "", "is a gateway running");
    }
  await assertNothingLeft(running);
}

/** Answers the name of the run. */
async function noProcessor(running: Running): Promise<string> {
  const { code, report } = await validate(running, "--timeout", "2s");
  assert.is(code, 1);
  assert.equal(
    failed(report),
    report.checks.map(({ check }) => check).filter((name) => name !== "mqtt"),
  );
  assert.is(report.checks.length, 9, "the rest still ran");
  const { found } = report.checks.find(({ check }) => check === "telemetry")!;
  assert.match(found, "waited in vain for 80 rows");
  assert.match(found, "there are 0");
  assert.is(report.left.length, 1, "what may still take effect is left");
  for (const name of ["telemetry", "throughput-9", "latency"])
    assert.match(report.left[0]!, `${report.run}-${name}`);
  return report.run;
}

async function cleaned(running: Running, run: string): Promise<void> {
  await running.settled();
  const { rows } = await running.database.query(
    "SELECT FROM equipments WHERE starts_with(equip_uuid, $1)",
    [run],
  );
  assert.ok(rows.length > 5);
  const { code, output } = await runCommand(
    ["validate", "--clean"],
    running.env,
  );
  assert.is(code, 0, output);
  assert.match(output, `removed ${rows.length} devices`);
  await assertNothingLeft(running);
}

test("bad arguments have an exit code of their own, and say what there is", async () => {
  const none = await runCommand(["validate", "--only", "telemetry,luck"], {});
  assert.is(none.code, 2);
  assert.match(none.output, '"luck" is none; there are mqtt, telemetry, view');
  const silent = await runCommand(["validate", "--user", "ana"], {});
  assert.is(silent.code, 2);
  assert.match(silent.output, "VALIDATE_PASSWORD");
  const setting = await runCommand(["validate"], { HTTP_PORT: "many" });
  assert.is(setting.code, 2);
});

test.run();
