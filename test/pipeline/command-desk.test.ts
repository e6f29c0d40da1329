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
  supersedes: null,
  precondition: null,
  extra: {},
});
const queued = (...ids: string[]) =>
  ids.map((cmdId) => ({ device, request: request(cmdId) }));
const open = (cmdId: string, state: CommandState) => ({
  device,
  request: request(cmdId),
  state,
  judged: false,
});
const NONE: ReadonlySet<string> = new Set();

function desk() {
  const link = createMemoryLink();
  const changes: string[] = [];
  const asked: string[] = [];
  let nowMs = NOW_MS;
  const made = createCommandDesk({
    link: link.link,
    clock: () => nowMs,
    observer: listening(),
    changed: (all) => {
      for (const { cmdId, state, evidence } of all)
        changes.push(`${cmdId} ${state}: ${evidence}`);
    },
    judge: ({ cmdId }) => asked.push(cmdId),
  });
  return {
    desk: made,
    link,
    changes,
    /** Whose conditions were to be judged. */
    asked,
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

const many = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `c${from + i}`);

test("a device with a long queue gets a few at a time, oldest first, the next as it acknowledges", async () => {
  const { desk: at, link, answered } = desk();
  link.setConnected(false);
  at.queued(queued(...many(100, 130)));
  link.setConnected(true);
  at.again();
  await answered();
  assert.equal(link.ids(), many(100, 108));
  at.ended(["c103"]);
  await answered();
  assert.equal(link.ids(), many(100, 109));
  at.ended(["c100", "c101", "c102"]);
  await answered();
  assert.equal(link.ids(), many(100, 112));
});

test("a device that acknowledges nothing, or a broker that answers nothing, holds no command up", async () => {
  for (const how of ["delivered", "silence"] as const) {
    const { desk: at, link, answered, pass } = desk();
    link.answer(how);
    at.queued(queued(...many(100, 120)));
    await answered();
    assert.equal(link.ids(), many(100, 108), how);
    pass(500);
    at.again();
    assert.equal(link.ids(), many(100, 108), how);
    pass(500);
    at.again();
    await answered();
    assert.equal(link.ids(), many(100, 116), how);
    pass(1000);
    at.again();
    assert.equal(link.ids(), many(100, 120), how);
  }
});

test("one device's long queue holds no other device up", async () => {
  const { desk: at, link } = desk();
  link.answer("silence");
  at.queued(queued(...many(100, 120)));
  const other = { ...device, address: "dev-2", deviceId: "dev-2" };
  at.queued([{ device: other, request: request("c200") }]);
  assert.is(link.ids().at(-1), "c200");
});

test("a command that the broker does not take holds up none of those behind it", async () => {
  const { desk: at, link, answered, pass } = desk();
  link.answer("breaks");
  at.queued(queued("c1"));
  await answered();
  link.answer("delivered");
  at.queued(queued("c2"));
  assert.equal(link.ids(), ["c1", "c2"]);
  pass(6000);
  at.again();
  assert.equal(link.ids(), ["c1", "c2", "c1"]);
});

test("after no subscriber the queue waits as a whole, and keeps its order when the device comes", async () => {
  const { desk: at, link, answered, pass } = desk();
  link.answer("no_subscriber");
  at.queued(queued(...many(100, 120)));
  await answered();
  assert.equal(link.ids(), many(100, 108));
  pass(6000);
  at.again();
  assert.is(link.sent.length, 8, "the others are not even tried");
  at.awake(["dev-1"]);
  await answered();
  assert.is(link.sent.length, 16, "nobody there again");
  link.answer("delivered");
  at.awake(["dev-1"]);
  await answered();
  assert.is(link.sent.length, 16, "too soon, for the others as well");
  pass(6000);
  at.again();
  await answered();
  assert.equal(link.ids().slice(16), many(100, 108));
});

const guarded = (cmdId: string) => ({
  device,
  request: {
    ...request(cmdId),
    precondition: { point: "p", op: "eq" as const, value: 1 },
  },
});

test("a command with a condition is sent only once a flush has found that it holds", async () => {
  const { desk: at, link, asked, answered } = desk();
  at.queued([guarded("c1"), guarded("c2")]);
  assert.equal(asked, ["c1", "c2"]);
  at.again();
  assert.equal(asked, ["c1", "c2"], "asked once");
  assert.equal(link.ids(), []);
  at.ended(["c2"]);
  at.judged(["c1", "c2"]);
  await answered();
  assert.equal(link.ids(), ["c1"]);
});

test("a condition is judged again when the command reached nobody, and not when nobody knows", async () => {
  for (const [how, again] of [
    ["no_subscriber", ["c1", "c1"]],
    ["breaks", ["c1"]],
  ] as const) {
    const { desk: at, link, asked, answered, pass } = desk();
    link.answer(how);
    at.queued([guarded("c1")]);
    at.judged(["c1"]);
    await answered();
    pass(6000);
    at.awake(["dev-1"]);
    assert.equal(asked, again, how);
  }
});

test("a condition that held while the broker went away is judged again when it is back", () => {
  const { desk: at, link, asked } = desk();
  at.queued([guarded("c1")]);
  link.setConnected(false);
  at.judged(["c1"]);
  link.setConnected(true);
  at.again();
  assert.equal(asked, ["c1", "c1"]);
  assert.equal(link.ids(), []);
});

test("on a claim a condition that held already is not judged again", () => {
  const { desk: at, link, asked } = desk();
  const state = "queued" as const;
  at.load(
    [
      { ...guarded("c1"), state, judged: true },
      { ...guarded("c2"), state, judged: false },
    ],
    NONE,
  );
  assert.equal(link.ids(), ["c1"]);
  assert.equal(asked, ["c2"]);
});

test("a judgement whose answer was lost is taken from the database", () => {
  const { desk: at, link, asked } = desk();
  at.queued([guarded("c1"), guarded("c2")]);
  const state = "queued" as const;
  at.load(
    [
      { ...guarded("c1"), state, judged: true },
      { ...guarded("c2"), state, judged: false },
    ],
    at.known,
  );
  assert.equal(link.ids(), ["c1"]);
  assert.equal(asked, ["c1", "c2", "c2"]);
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
