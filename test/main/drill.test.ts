/** A drill touches nothing but a stack that was started for it. */
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import {
  identityOf,
  isAlive,
  killHard,
} from "../../src/main/drill/processes.js";
import { drillStack } from "../../src/main/drill/stack.js";
import { until, within } from "../support/wait.js";

const test = suite("twinstream drill");

const { allowDrills, isHeld } = (await import(
  pathToFileURL(resolve("deploy/stack/drills.mjs")).href
)) as {
  allowDrills(dir: string, stack: object): void;
  isHeld(dir: string, name: string): boolean;
};

const SETTINGS = {
  REDIS_URL: "redis://127.0.0.1:20001",
  DATABASE_URL: "postgres://127.0.0.1:20002/twinstream",
};

async function withFolder(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "twinstream-drill-"));
  try {
    await work(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** A stack's word, given by this process as its launcher. */
function allow(dir: string): void {
  const redis = { name: "redis", how: "native", pidFile: "r.pid", folder: "r" };
  const postgres = { name: "postgres", how: "given" };
  allowDrills(dir, {
    settings: SETTINGS,
    services: { redis, postgres },
    metrics: { processor: 9100 },
  });
}

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof TwinstreamError);
    assert.is(error.code, "CONFIG_INVALID");
    return error.message;
  }
  throw new Error("it was not refused");
}

test("a folder without a stack's word is refused, and so is production", () =>
  withFolder(async (dir) => {
    assert.match(
      refusal(() => drillStack(dir, {})),
      "npm start starts one",
    );
    allow(dir);
    assert.is((await stat(join(dir, "drill.json"))).mode & 0o777, 0o600);
    assert.match(
      refusal(() => drillStack(dir, { NODE_ENV: "production" })),
      "NODE_ENV=production",
    );
    drillStack(dir, {});
  }));

test("settings with another address are refused by their names, those of the stack and none are taken", () =>
  withFolder(async (dir) => {
    allow(dir);
    drillStack(dir, { ...SETTINGS, MQTT_URL: "" });
    const other = { REDIS_URL: "redis://:secret@elsewhere:6379" };
    const why = refusal(() => drillStack(dir, other));
    assert.match(why, "REDIS_URL is not that of the stack");
    assert.not.match(why, "secret");
  }));

test("a stack whose launcher has ended is refused, also when its pid is another process's now", () =>
  withFolder(async (dir) => {
    allow(dir);
    const launcher = { pid: process.pid, born: "another boot/1" };
    await writeFile(
      join(dir, "drill.json"),
      JSON.stringify({ launcher, settings: {}, services: {}, roles: {} }),
    );
    assert.match(
      refusal(() => drillStack(dir, {})),
      "does not run any more",
    );
  }));

test("a second drill at a time is refused", () =>
  withFolder(async (dir) => {
    allow(dir);
    const end = drillStack(dir, {}).begin();
    assert.match(
      refusal(() => drillStack(dir, {}).begin()),
      "another drill is at work on it",
    );
    end();
    drillStack(dir, {}).begin()();
  }));

test("a service that the stack did not start itself is not to be ended", () =>
  withFolder(async (dir) => {
    allow(dir);
    const stack = drillStack(dir, {});
    assert.is(stack.target("redis").folder, "r");
    assert.is(stack.target("processor").folder, null);
    assert.match(
      refusal(() => stack.target("postgres")),
      "is given",
    );
  }));

test("what a drill holds down is free once it lets go, and once it has ended in whatever way", () =>
  withFolder(async (dir) => {
    allow(dir);
    const stack = drillStack(dir, {});
    const release = stack.hold(stack.target("redis"));
    assert.ok(isHeld(dir, "redis"));
    assert.not(isHeld(dir, "processor"));
    release();
    assert.not(isHeld(dir, "redis"));
    const ended = { pid: process.pid, born: "another boot/1" };
    await writeFile(join(dir, "drill-hold-redis.json"), JSON.stringify(ended));
    assert.not(isHeld(dir, "redis"));
  }));

test("the hard end of a process takes its children too", async () => {
  const parent = spawn("sh", ["-c", "sleep 60 & echo $!; wait"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  try {
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const child = identityOf(Number(line.toString()));
    const self = identityOf(parent.pid!);
    assert.ok(child && self);
    const ended = once(parent, "exit");
    killHard(self);
    await within(5000, ended, "the parent to die");
    assert.not(isAlive(self));
    await until(() => !isAlive(child), {
      withinMs: 5000,
      what: "the child to be gone",
    });
  } finally {
    parent.kill("SIGKILL");
  }
});

test.run();
