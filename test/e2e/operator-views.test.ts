/** `twinstream log` and `twinstream top` as an operator runs them, on a real log, beside real roles. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogWriter } from "../../src/adapters/kafka/writer.js";
import { runCommand, startRole } from "../support/roles.js";
import { type ServiceEnv, withOwnStack } from "../support/services.js";
import { until } from "../support/wait.js";

const views = suite("operators' views");
const CLI = fileURLToPath(new URL("../../src/main/cli.js", import.meta.url));

/** A migrated stack, and a processor that has stored a few messages of this device. */
async function withMessages(
  run: (env: ServiceEnv, device: string, processorUrl: string) => Promise<void>,
): Promise<void> {
  await withOwnStack(
    ["kafka", "redis", "postgres", "mqtt"],
    async ({ env }) => {
      const migrated = await runCommand(["migrate"], env);
      assert.is(migrated.code, 0, migrated.output);
      const device = `view-${randomBytes(4).toString("hex")}`;
      const log = createLogWriter(
        connectLog({
          brokers: env["KAFKA_BROKERS"]!.split(","),
          clientId: "test",
          log: () => undefined,
        }),
      );
      const processor = await startRole("processor", env);
      try {
        await log.append(
          "iot-data",
          Array.from({ length: 5 }, (_, n) => ({
            key: device,
            value: Buffer.from(
              `{"device_id":"${device}","payload":{"n":${n},"ts":${Date.now() - 5000}},"timestamp":${Date.now() / 1000}}`,
            ),
            headers: { "bridge-id": "test", "arrival-ms": String(Date.now()) },
          })),
        );
        await processor.ready(120_000);
        await run(env, device, processor.metricsUrl);
      } finally {
        await processor.stop();
        await log.close();
      }
    },
  );
}

const jsonLines = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

views(
  "log shows names, keys, headers and values; top prints figures and gives the terminal back",
  () =>
    withMessages(async (env, device, processorUrl) => {
      await lookAtLog(env, device);
      await lookAtTop(env, processorUrl);
    }),
);

async function lookAtLog(env: ServiceEnv, device: string): Promise<void> {
  const topics = await runCommand(["log", "topics"], env);
  assert.is(topics.code, 0, topics.output);
  for (const name of [
    "iot-data",
    "device-commands",
    "iot-data.dlq",
    "telemetry.raw",
  ])
    assert.match(topics.output, name);
  const [listed] = jsonLines(
    (await runCommand(["log", "topics", "--json"], env)).output,
  );
  const all = listed as unknown as {
    topic: string;
    retentionMs: number;
    partitions: object[];
  }[];
  const data = all.find(({ topic }) => topic === "iot-data")!;
  assert.ok(data.partitions.length >= 1 && data.retentionMs > 0);

  await until(
    async () => {
      const { output } = await runCommand(
        ["log", "groups", "twinstream-processor", "--json"],
        env,
      );
      const [groups] = jsonLines(output) as unknown as {
        state: string;
        members: { client: string }[];
        partitions: { lag: number; client: string | null }[];
      }[][];
      const group = groups![0]!;
      return (
        group.state === "Stable" &&
        group.partitions.length > 0 &&
        group.partitions.every(({ lag }) => lag === 0) &&
        group.members[0]!.client.startsWith("twinstream-processor")
      );
    },
    { withinMs: 60_000, what: "the group without lag" },
  );
  const groups = await runCommand(["log", "groups"], env);
  assert.match(groups.output, /twinstream-processor: Stable, 1 member, lag 0/);
  const none = await runCommand(["log", "groups", "nobody"], env);
  assert.is(none.code, 1);
  assert.match(none.output, "there are: ");

  const text = await runCommand(
    ["log", "tail", "--key", device, "--limit", "2"],
    env,
  );
  assert.is(text.code, 0, text.output);
  assert.match(text.output, `key=${device}`);
  assert.match(text.output, "bridge-id=test");
  assert.match(text.output, '"n":4');
  assert.not.match(text.output, '"n":2');
  const numbers = async (...args: string[]): Promise<number[]> => {
    const { output, code } = await runCommand(
      ["log", "tail", "--key", device, "--json", ...args],
      env,
    );
    assert.is(code, 0, output);
    return jsonLines(output).map(
      ({ value }) => (value as { payload: { n: number } }).payload.n,
    );
  };
  assert.equal(await numbers(), [0, 1, 2, 3, 4]);
  assert.equal(await numbers("--limit", "3"), [2, 3, 4]);
  assert.equal(await numbers("--from", "earliest", "--limit", "2"), [0, 1]);
  assert.equal(
    await numbers("--from", "earliest", "--follow", "--limit", "5"),
    [0, 1, 2, 3, 4],
  );
  assert.equal(await numbers("--from", "2026-01-01"), [0, 1, 2, 3, 4]);
  assert.equal(await numbers("--from", "latest"), []);
  const wrong = await runCommand(["log", "tail", "--partition", "9000"], env);
  assert.match(wrong.output, "has no partition 9000");
  const bad = await runCommand(["log", "tail", "--from", "soon"], env);
  assert.match(bad.output, "must be newest, earliest");
}

async function lookAtTop(env: ServiceEnv, processorUrl: string): Promise<void> {
  const args = [
    "top",
    "--interval",
    "1",
    "--metrics",
    `${processorUrl},http://127.0.0.1:1`,
  ];
  const { code, output } = await runCommand([...args, "--once", "--json"], env);
  assert.is(code, 0, output);
  const [figures] = jsonLines(output) as unknown as {
    stores: { store: string; ping_ms: number | null }[];
    processes: { trouble: string | null; resident_mib: number }[];
    partitions: { partition: string }[];
  }[];
  assert.ok(
    figures!.stores.every(({ ping_ms: ping }) => ping !== null),
    output,
  );
  assert.ok(figures!.processes[0]!.resident_mib > 10);
  assert.is(figures!.processes[1]!.trouble, "does not answer");
  assert.ok(figures!.partitions.length > 0);
  const once = await runCommand([...args, "--once"], env);
  assert.match(once.output, "PARTITION");
  for (const leave of ["q", "\u0003", "SIGTERM"]) {
    const shown = await inTerminal(args, env, leave);
    assert.ok(shown.includes("\u001B[?1049h\u001B[?25l"), "entered");
    assert.match(shown, "STORE");
    const restored = shown.lastIndexOf("\u001B[?25h\u001B[?1049l");
    assert.ok(
      restored > shown.lastIndexOf("STORE"),
      `left by ${JSON.stringify(leave)}`,
    );
  }
}

/** In a pseudo-terminal; leaves by a key or a signal once a frame is there, and answers all that was written. */
async function inTerminal(
  args: readonly string[],
  env: ServiceEnv,
  leave: string,
): Promise<string> {
  const command = [process.execPath, CLI, ...args].join(" ");
  const child = spawn("script", ["-qefc", `exec ${command}`, "/dev/null"], {
    env: { PATH: process.env["PATH"], TERM: "xterm", ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let shown = "";
  child.stdout.on("data", (chunk: Buffer) => (shown += chunk.toString()));
  const ended = new Promise<void>((resolve) =>
    child.on("close", () => resolve()),
  );
  try {
    await until(() => shown.includes("PARTITION"), {
      withinMs: 30_000,
      what: `a frame; there is ${JSON.stringify(shown.slice(-300))}`,
    });
    if (leave.startsWith("SIG"))
      process.kill(await childOf(child.pid!), leave as NodeJS.Signals);
    else child.stdin.write(leave);
    await until(() => shown.includes("\u001B[?1049l"), {
      withinMs: 10_000,
      what: "the terminal back",
    });
    child.stdin.end();
    await ended;
  } finally {
    child.kill("SIGKILL");
  }
  return shown;
}

async function childOf(pid: number): Promise<number> {
  const children = `/proc/${pid}/task/${pid}/children`;
  return Number((await readFile(children, "utf8")).trim().split(" ")[0]);
}

views.run();
