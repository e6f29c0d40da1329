/** `twinstream simulate` as a process: what it prints, how it stops, its exit codes. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Summary } from "../../src/simulator/tally.js";
import { withServices } from "../support/services.js";
import { until, within } from "../support/wait.js";
import { listen, topicsOf } from "../simulator/listener.js";

const command = suite("twinstream simulate");
const patience = { withinMs: 20_000 };

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const PROGRAM = `
  import { simulateCommand } from ${JSON.stringify(new URL("../../src/main/simulate.js", import.meta.url).href)};
  await simulateCommand().parseAsync(process.argv.slice(1), { from: "user" });`;

function start(args: readonly string[]): {
  child: ChildProcess;
  ended: Promise<Ended>;
} {
  const child = spawn(
    process.execPath,
    ["--input-type=module", "-e", PROGRAM, "--", ...args],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let out = "";
  let err = "";
  child.stdout.on("data", (bytes) => (out += String(bytes)));
  child.stderr.on("data", (bytes) => (err += String(bytes)));
  const ended = new Promise<Ended>((resolve) =>
    child.on("close", (code) => resolve({ code, out, err })),
  );
  return { child, ended };
}

const run = (...args: string[]) =>
  within(30_000, start(args).ended, `simulate ${args.join(" ")}`);

command("prints what became of the messages, as text or as JSON", () =>
  withServices(["mqtt"], async ({ MQTT_URL: url = "" }) => {
    const prefix = `c${randomUUID().slice(0, 8)}-`;
    const args = [
      "--mqtt",
      url,
      "--prefix",
      prefix,
      "--rate",
      "0",
      "--messages",
      "100",
    ];
    const text = await run(...args);
    assert.is(text.code, 0, text.err);
    assert.match(text.out, /acked 100 \(\d+ points\), refused 0, unknown 0/);
    const json = await run(...args, "--json");
    assert.is((JSON.parse(json.out) as Summary).acked, 100);
    assert.is(json.err, "", "no word on stderr that is not a terminal");
  }),
);

command("says plainly when devices share connections", () =>
  withServices(["mqtt"], async ({ MQTT_URL: url = "" }) => {
    const prefix = `c${randomUUID().slice(0, 8)}-`;
    const { err } = await run(
      "--mqtt",
      url,
      "--prefix",
      prefix,
      "--devices",
      "20",
      "--connections",
      "5",
      "--messages",
      "20",
      "--rate",
      "0",
    );
    assert.match(err, /20 devices share 5 connections, about 4 on each/);
  }),
);

command("finishes what is under way on SIGINT and prints the summary", () =>
  withServices(["mqtt"], async ({ MQTT_URL: url = "" }) => {
    const prefix = `c${randomUUID().slice(0, 8)}-`;
    const listener = await listen(url, topicsOf(prefix));
    const { child, ended } = start([
      "--mqtt",
      url,
      "--prefix",
      prefix,
      "--rate",
      "500",
      "--json",
    ]);
    await until(() => listener.heard.length > 200, {
      ...patience,
      what: "200 messages",
    });
    child.kill("SIGINT");
    const { code, out } = await within(10_000, ended, "the end");
    assert.is(code, 0);
    const summary = JSON.parse(out) as Summary;
    assert.is(summary.ended, "stopped");
    assert.is(summary.acked, summary.sent);
    await until(() => listener.heard.length === summary.acked, {
      ...patience,
      what: "what the summary says at the subscriber",
    });
    await listener.close();
  }),
);

command("ends with 1 and what to do when there is no broker", async () => {
  const { code, err } = await run("--mqtt", "mqtt://user:secret@127.0.0.1:1");
  assert.is(code, 1);
  assert.match(
    err,
    /does not answer: .*ECONNREFUSED.*npm start.*--mqtt or MQTT_URL/,
  );
  assert.not.match(err, /secret/);
});

command("ends with 2 and one line for bad arguments", async () => {
  for (const [args, message] of [
    [["--devices", "many"], /--devices.*'many'.*whole number/],
    [["--mix", "json=1"], /--mix.*weights like/],
    [["--connections", "20"], /more than --devices 10/],
    [["--tenant", "acme"], /--tenant and --site go together/],
    [
      ["--replay", "x.csv", "--rate", "5"],
      /--replay.*cannot be used with.*--rate/,
    ],
    [["--speedy"], /unknown option '--speedy'/],
    [["--mqtt", "broker"], /must be a URL like mqtt:/],
  ] as const) {
    const { code, err } = await run(...args);
    assert.is(code, 2, args.join(" "));
    assert.match(err, message);
    assert.is(err.trimEnd().split("\n").length, 1, err);
  }
});

command("teaches by examples in its help", async () => {
  const { code, out } = await run("--help");
  assert.is(code, 0);
  assert.match(out, /Examples\n/);
  assert.match(out, /The ledger/);
});

command.run();
