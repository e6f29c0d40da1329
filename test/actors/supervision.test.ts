import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SUPERVISION } from "../../actors/supervision.js";
import { createActorSystem } from "../../actors/system.js";
import {
  deviceReducer,
  newDevice,
  type ApplyMessages,
} from "../../src/domain/decide.js";
import type { Message } from "../../src/domain/message.js";
import type { LaneActors } from "../../src/ports.js";
import { listening, NOW_MS, reading, throwingOn } from "../support/messages.js";
import { until, within } from "../support/wait.js";

const test = suite("supervision of device actors");

const reduce = deviceReducer({
  historyUs: 5 * 3_600_000_000,
  tenantPrefix: "traksense",
});

function lane(applyMessages: ApplyMessages = throwingOn("poison", reduce)) {
  const observer = listening();
  const failures: unknown[] = [];
  const system = createActorSystem({
    applyMessages,
    tenantPrefix: "traksense",
    observer,
  });
  const actors = system.open(0, (error) => failures.push(error));
  return { actors, observer, failures, stop: () => system.stop() };
}

function spawnFor(actors: LaneActors, ...messages: Message[]): void {
  for (const message of messages)
    if (!actors.has(message.address)) actors.spawn(newDevice(message));
}

const poison = (offset: number) => reading(offset, { payload: '"poison"' });

async function apply(
  actors: LaneActors,
  messages: readonly Message[],
  nowMs = NOW_MS,
) {
  spawnFor(actors, ...messages);
  const groups = new Map<string, Message[]>();
  for (const message of messages)
    groups.set(message.address, [
      ...(groups.get(message.address) ?? []),
      message,
    ]);
  return within(2000, actors.apply(groups, nowMs), "all actors to answer");
}

test("a batch of several devices is answered with the effects of each", async () => {
  const { actors, stop } = lane();
  const effects = await apply(actors, [
    reading(1),
    reading(2, { deviceId: "dev-2", address: "dev-2" }),
    reading(3),
  ]);
  const offsets = new Map(
    effects.map(({ store }) => [
      store.device.address,
      store.rows.map(({ source }) => source.offset),
    ]),
  );
  assert.equal(offsets.get("dev-1"), [1, 3]);
  assert.equal(offsets.get("dev-2"), [2]);
  stop();
});

test("a message that throws becomes a dead letter, and those around it take effect in order", async () => {
  const { actors, observer, stop } = lane();
  const [effects] = await apply(actors, [
    reading(1),
    poison(2),
    reading(3),
    reading(4),
  ]);
  assert.equal(
    effects!.store.rows.map(({ source }) => source.offset),
    [1, 3, 4],
  );
  const [letter, ...more] = effects!.store.deadLetters;
  assert.is(more.length, 0);
  assert.is(letter!.reason, "actor_crash");
  assert.is(letter!.source.offset, 2);
  assert.is(letter!.attempts, SUPERVISION.attempts);
  assert.match(letter!.detail, "cannot digest poison");
  const restarts = observer.events.filter((e) => e.type === "actor_restarted");
  assert.is(restarts.length, 1);
  stop();
});

test("a neighbour of a device that throws never notices", async () => {
  const { actors, stop } = lane();
  const effects = await apply(actors, [
    poison(1),
    reading(2, { deviceId: "dev-2", address: "dev-2" }),
  ]);
  const neighbour = effects.find(
    ({ store }) => store.device.address === "dev-2",
  )!;
  assert.is(neighbour.store.rows.length, 1);
  assert.is(neighbour.store.deadLetters.length, 0);
  stop();
});

test("the state after a crash is the state before the batch plus what took effect", async () => {
  const { actors, stop } = lane();
  await apply(actors, [reading(1, { timeUs: NOW_MS * 1000 - 5 })]);
  await apply(actors, [poison(2), reading(3, { timeUs: NOW_MS * 1000 - 3 })]);
  const [older] = await apply(actors, [
    reading(4, { timeUs: NOW_MS * 1000 - 4 }),
  ]);
  assert.is(older!.view.last, null, "offset 3 is newer than offset 4");
  stop();
});

test("five crashes in a minute put the device in quarantine, and a release ends it", async () => {
  const { actors, observer, stop } = lane();
  for (let i = 0; i < SUPERVISION.crashesToQuarantine; i++)
    await apply(actors, [poison(i)], NOW_MS + i * 1000);
  const quarantined = observer.events.find(
    (e) => e.type === "actor_quarantined",
  );
  const at = NOW_MS + (SUPERVISION.crashesToQuarantine - 1) * 1000;
  assert.is(quarantined?.untilMs, at + SUPERVISION.quarantineMs);

  const [aside] = await apply(actors, [reading(10)], at + 1000);
  assert.is(aside!.store.rows.length, 0);
  assert.is(aside!.store.deadLetters[0]!.reason, "quarantined");

  const { source, address, tenant, deviceId } = reading(11);
  const release: Message = {
    kind: "release",
    source,
    address,
    tenant,
    deviceId,
    site: null,
    arrivalUs: 0,
  };
  const [released] = await apply(actors, [release, reading(12)], at + 2000);
  assert.is(released!.store.quarantinedUntilMs, 0);
  assert.is(released!.store.rows.length, 1);
  stop();
});

test("crashes further apart than a minute do not add up", async () => {
  const { actors, observer, stop } = lane();
  for (let i = 0; i < 2 * SUPERVISION.crashesToQuarantine; i++)
    await apply(actors, [poison(i)], NOW_MS + i * 20_000);
  assert.not(observer.events.some((e) => e.type === "actor_quarantined"));
  stop();
});

test("quarantine ends by itself after its time", async () => {
  const { actors, stop } = lane();
  actors.spawn({ ...newDevice(reading(0)), quarantinedUntilMs: NOW_MS + 500 });
  const [during] = await apply(actors, [reading(1)], NOW_MS);
  assert.is(during!.store.rows.length, 0);
  const [after] = await apply(actors, [reading(2)], NOW_MS + 501);
  assert.is(after!.store.rows.length, 1);
  stop();
});

test("only idle actors are let go, the longest unused first, and they wake again", async () => {
  const { actors, stop } = lane();
  for (let i = 0; i < 5; i++)
    await apply(
      actors,
      [reading(i, { deviceId: `d${i}`, address: `d${i}` })],
      NOW_MS + i,
    );
  const gone = actors.passivate(2, 0, (address) => address === "d0");
  assert.is(gone, 3);
  assert.equal(
    ["d0", "d1", "d2", "d3", "d4"].filter((address) => actors.has(address)),
    ["d0", "d4"],
  );
  const [again] = await apply(actors, [
    reading(9, { deviceId: "d1", address: "d1" }),
  ]);
  assert.is(again!.store.rows.length, 1);
  stop();
});

test("addresses with every allowed character name an actor of their own", async () => {
  const { actors, stop } = lane();
  const names = ["a:b", "a.b", "a_b", "a-b", "t/a:b", "t:a/b", "A:b"];
  const effects = await apply(
    actors,
    names.map((name, i) => reading(i, { deviceId: name, address: name })),
  );
  assert.is(effects.length, names.length);
  stop();
});

test("a fault of the shell itself fails the batch and is told to the lane", async () => {
  const failures: unknown[] = [];
  const system = createActorSystem({
    applyMessages: throwingOn("poison", reduce),
    tenantPrefix: "traksense",
    observer: {
      emit() {
        throw new Error("no room for a log line");
      },
    },
  });
  const actors = system.open(0, (error) => failures.push(error));
  const outcome = await apply(actors, [poison(1)]).catch(
    (error: unknown) => error,
  );
  assert.match(String(outcome), "no room for a log line");
  await until(() => failures.length === 1, {
    withinMs: 1000,
    what: "the partition's supervisor to tell its lane",
  });
  system.stop();
});

test("who waits for actors that are stopped is told", async () => {
  const { actors, stop } = lane();
  const answered = apply(actors, [reading(1)]);
  actors.stop();
  const outcome = await answered.catch((error: unknown) => error);
  assert.match(String(outcome), "the lane has ended");
  stop();
});

test.run();
