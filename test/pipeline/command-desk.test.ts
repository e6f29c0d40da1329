import { suite } from "uvu";
import * as assert from "uvu/assert";
import { newDevice } from "../../src/domain/decide.js";
import type { CommandRequest } from "../../src/domain/message.js";
import type { CommandState } from "../../src/ports.js";
import { createCommandDesk } from "../../src/pipeline/command-desk.js";
import { createMemoryLink } from "../support/memory-link.js";
import { listening, NOW_MS, reading } from "../support/messages.js";

const test = suite("the command desk");
const { device } = newDevice(reading(0));

const request = (cmdId: string, lifeMs = 60_000): CommandRequest => ({
  cmdId,
  op: "start",
  params: {},
  by: "",
  createdUs: NOW_MS * 1000,
  expiresUs: (NOW_MS + lifeMs) * 1000,
  queue: false,
  extra: {},
});
const queued = (...ids: string[]) =>
  ids.map((cmdId) => ({ device, request: request(cmdId) }));
const open = (cmdId: string, state: CommandState) => ({
  device,
  request: request(cmdId),
  state,
});
const NONE: ReadonlySet<string> = new Set();

function desk() {
  const link = createMemoryLink();
  const changes: string[] = [];
  let nowMs = NOW_MS;
  const made = createCommandDesk({
    link: link.link,
    clock: () => nowMs,
    observer: listening(),
    changed: (all) => {
      for (const { cmdId, state, evidence } of all)
        changes.push(`${cmdId} ${state}: ${evidence}`);
    },
  });
  return {
    desk: made,
    link,
    changes,
    pass: (ms: number) => {
      nowMs += ms;
    },
    now: () => nowMs * 1000,
    /** Lets the broker's answers arrive. */
    answered: () => new Promise((resolve) => setImmediate(resolve)),
  };
}

test("a queued command is sent, and delivered with the broker's answer", async () => {
  const { desk: at, link, changes, answered } = desk();
  at.queued(queued("c1"));
  assert.equal(link.ids(), ["c1"]);
  await answered();
  assert.equal(changes, [
    "c1 sent: handed to the broker",
    "c1 delivered: the broker acknowledged it",
  ]);
});

test("a delivered command is not sent again", async () => {
  const { desk: at, link, answered, pass } = desk();
  at.queued(queued("c1"));
  await answered();
  pass(60_000);
  at.again();
  at.awake(["dev-1"]);
  assert.equal(link.ids(), ["c1"]);
});

test("without a subscriber it is queued again and waits until its device shows life", async () => {
  const { desk: at, link, changes, answered, pass } = desk();
  link.answer("no_subscriber");
  at.queued(queued("c1"));
  await answered();
  assert.is(changes.at(-1), "c1 queued: no_subscriber");
  pass(30_000);
  at.again();
  assert.is(link.sent.length, 1, "the broker is not asked again and again");
  link.answer("delivered");
  at.awake(["dev-2"]);
  assert.is(link.sent.length, 1, "another device's life is none of its own");
  at.awake(["dev-1"]);
  await answered();
  assert.is(link.sent.length, 2);
  assert.is(changes.at(-1), "c1 delivered: the broker acknowledged it");
});

test("a device that shows life just after the broker found no subscriber is tried a little later", async () => {
  const { desk: at, link, answered, pass } = desk();
  link.answer("no_subscriber");
  at.queued(queued("c1"));
  await answered();
  pass(100);
  at.awake(["dev-1"]);
  assert.is(link.sent.length, 1);
  pass(6000);
  link.answer("delivered");
  at.again();
  assert.is(link.sent.length, 2);
});

test("without a broker it waits, and is sent once there is one", async () => {
  const { desk: at, link, changes, answered } = desk();
  link.setConnected(false);
  at.queued(queued("c1"));
  at.again();
  assert.equal(link.ids(), []);
  assert.equal(changes, []);
  link.setConnected(true);
  at.again();
  await answered();
  assert.equal(link.ids(), ["c1"]);
});

test("a connection that breaks before the broker's answer: sent again, not at once", async () => {
  const { desk: at, link, changes, answered, pass } = desk();
  link.answer("breaks");
  at.queued(queued("c1"));
  await answered();
  assert.is(changes.at(-1), "c1 queued: not handed over: told to break");
  at.again();
  assert.is(link.sent.length, 1);
  pass(6000);
  at.again();
  assert.is(link.sent.length, 2);
});

test("on a claim all open commands are sent again but those that were delivered", () => {
  const { desk: at, link } = desk();
  at.load(
    [open("c1", "queued"), open("c2", "sent"), open("c3", "delivered")],
    NONE,
  );
  assert.equal(link.ids(), ["c1", "c2"]);
});

test("a command that is loaded and told to be queued is sent once", () => {
  const { desk: at, link } = desk();
  at.load([open("c1", "queued")], NONE);
  at.queued(queued("c1"));
  assert.equal(link.ids(), ["c1"]);
});

test("what was known and is not among the database's open commands has ended", async () => {
  const { desk: at, pass, now, answered } = desk();
  at.queued(queued("c1", "c2"));
  await answered();
  const before = at.known;
  at.queued(queued("c3"));
  at.load([open("c2", "sent")], before);
  pass(120_000);
  assert.equal(
    at.overdue(now()).map(({ cmdId }) => cmdId),
    ["c2", "c3"],
    "c3 came after the database was asked",
  );
});

test("commands that have ended are forgotten", async () => {
  const { desk: at, pass, now, answered } = desk();
  at.queued(queued("c1", "c2"));
  await answered();
  at.ended(["c1", "unknown"]);
  pass(120_000);
  assert.equal(
    at.overdue(now()).map(({ cmdId }) => cmdId),
    ["c2"],
  );
});

test("a command whose time is over is expired once, and not sent any more", async () => {
  const { desk: at, link, changes, pass, now } = desk();
  link.setConnected(false);
  at.queued(queued("c1"));
  assert.equal(at.overdue(now()), []);
  pass(61_000);
  const over = at.overdue(now());
  at.expire(over, "why");
  at.expire(over, "why");
  assert.equal(changes, ["c1 expired: why"]);
  assert.equal(at.overdue(now()), []);
  link.setConnected(true);
  at.again();
  assert.equal(link.ids(), []);
});

test("after its end it sends and tells nothing", async () => {
  const { desk: at, link, changes, answered } = desk();
  at.queued(queued("c1"));
  at.end();
  await answered();
  at.load([open("c2", "queued")], NONE);
  assert.equal(link.ids(), ["c1"]);
  assert.equal(changes, ["c1 sent: handed to the broker"]);
});

test.run();
