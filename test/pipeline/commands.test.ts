import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import { type Rig, withRig } from "../support/pipeline-rig.js";

const test = suite("a command's life in a lane");

const stateOf = (rig: Rig, cmdId: string) =>
  rig.store.commandsById.get(cmdId)?.state;
const becomes = (rig: Rig, cmdId: string, state: string) =>
  rig.wait(`${cmdId} to be ${state}`, () => stateOf(rig, cmdId) === state);
const statesOf = (rig: Rig, cmdId: string) =>
  rig.store.commandsById.get(cmdId)?.history.map((step) => step.state);
const ack = (rig: Rig, cmdId: string, over: object = {}, more: object = {}) =>
  rig.produce(
    "dev-1",
    {
      schema: "v1",
      cmd_id: cmdId,
      ok: true,
      ts_exec: new Date(rig.clock()).toISOString(),
      err: null,
      ...over,
    },
    { kind: "ack", ...more },
  );

test("it is published only once the flush that made it queued has committed", () =>
  withRig(async (rig) => {
    rig.link.onSend(({ request }) => {
      assert.ok(rig.store.commandsById.has(request.cmdId), "its row is there");
    });
    await rig.start();
    await rig.produce("dev-1", { n: 1 });
    await rig.settled();
    const release = rig.store.hold();
    await rig.command("dev-1", "c1");
    await rig.produce("dev-1", { n: 2 });
    await rig.wait(
      "Redis to be further",
      () => rig.published("dev-1").length === 2,
    );
    assert.equal(rig.link.ids(), []);
    release();
    await becomes(rig, "c1", "delivered");
    assert.equal(statesOf(rig, "c1"), [
      "accepted",
      "queued",
      "sent",
      "delivered",
    ]);
    assert.equal(rig.link.ids(), ["c1"]);
  }));

test("the device's ack ends it, and the same ack again changes nothing", () =>
  withRig(async (rig) => {
    await rig.start();
    await rig.command("dev-1", "c1");
    await becomes(rig, "c1", "delivered");
    await ack(rig, "c1");
    await becomes(rig, "c1", "acked");
    const before = statesOf(rig, "c1");
    await ack(rig, "c1");
    await rig.settled();
    assert.equal(statesOf(rig, "c1"), before);
    assert.is(rig.store.acks.size, 1);
  }));

test("an ack that says no makes it failed, with the device's words", () =>
  withRig(async (rig) => {
    await rig.start();
    await rig.command("dev-1", "c1");
    await becomes(rig, "c1", "delivered");
    await ack(rig, "c1", { ok: false, err: "door open" });
    await becomes(rig, "c1", "failed");
    assert.is(rig.store.commandsById.get("c1")?.err, "door open");
  }));

test("an ack for an unknown command is kept and changes nothing else", () =>
  withRig(async (rig) => {
    await rig.start();
    await ack(rig, "never-given");
    await rig.settled();
    const [kept] = [...rig.store.acks.values()];
    assert.is(kept?.known, false);
    assert.is(rig.store.commandsById.size, 0);
  }));

test("the same command read twice is one command, sent once", () =>
  withRig(async (rig) => {
    await rig.start();
    await rig.command("dev-1", "c1");
    await becomes(rig, "c1", "delivered");
    await rig.command("dev-1", "c1");
    await rig.settled();
    assert.equal(rig.link.ids(), ["c1"]);
  }));

test("without a subscriber it waits for the device, and is published when it shows life", () =>
  withRig(async (rig) => {
    await rig.start();
    rig.link.answer("no_subscriber");
    await rig.command("dev-1", "c1", 600_000);
    await rig.wait(
      "the broker's answer",
      () =>
        statesOf(rig, "c1")?.at(-1) === "queued" && rig.link.sent.length === 1,
    );
    rig.pass(10_000);
    rig.link.answer("delivered");
    await rig.produce("dev-1", "", { kind: "hello" });
    await becomes(rig, "c1", "delivered");
    assert.is(rig.link.sent.length, 2);
  }));

test("without a broker it waits, and is published once there is one", () =>
  withRig(async (rig) => {
    await rig.start();
    rig.link.setConnected(false);
    await rig.command("dev-1", "c1");
    await becomes(rig, "c1", "queued");
    rig.link.setConnected(true);
    await becomes(rig, "c1", "delivered");
    assert.is(rig.link.sent.length, 1);
  }));

test("on a claim it is published again unless the broker has acknowledged it", () =>
  withRig(async (rig) => {
    rig.link.setConnected(false);
    const first = await rig.start();
    await rig.command("dev-1", "c1");
    await becomes(rig, "c1", "queued");
    await first.kill();
    rig.link.setConnected(true);
    const second = await rig.start();
    await becomes(rig, "c1", "delivered");
    assert.equal(rig.link.ids(), ["c1"]);
    await second.kill();
    const third = await rig.start();
    await rig.wait("the claim", () => third.of("claimed").length === 1);
    await rig.produce("dev-1", { n: 1 });
    await rig.settled();
    assert.equal(rig.link.ids(), ["c1"]);
  }));

test("a lane that is let go while it begins publishes nothing any more", () =>
  withRig(async (rig) => {
    rig.link.setConnected(false);
    const first = await rig.start();
    await rig.command("dev-1", "c1");
    await becomes(rig, "c1", "queued");
    await first.kill();
    rig.link.setConnected(true);
    let answer = () => {};
    const gate = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let asked = false;
    const second = await rig.start({
      ports: {
        store: {
          ...rig.store,
          openCommands: async (partition) => {
            asked = true;
            await gate;
            return rig.store.openCommands(partition);
          },
        },
      },
    });
    await rig.wait("the session to begin", () => asked);
    const stopped = second.stop();
    let looks = 0;
    await rig.wait("its lane to have let go, but for the question", () => {
      const [trouble] = second.processor.troubles();
      return trouble === "partition 0 is closed" && ++looks > 3;
    });
    answer();
    await stopped;
    assert.equal(rig.link.ids(), []);
  }));

test("an answer of the database that was lost does not keep a new command from its device", () =>
  withRig(async (rig) => {
    await rig.start();
    await rig.produce("dev-1", { n: 1 });
    await rig.settled();
    rig.store.failNext({ verb: "flush", when: "after" });
    await rig.command("dev-1", "c1");
    await becomes(rig, "c1", "delivered");
    assert.equal(rig.link.ids(), ["c1"]);
  }));

test("a command that ended in a flush whose answer was lost is forgotten, not expired later", () =>
  withRig(async (rig) => {
    const running = await rig.start();
    await rig.command("dev-1", "c1", 1000);
    await becomes(rig, "c1", "delivered");
    await rig.settled();
    rig.store.failNext({ verb: "flush", when: "after" });
    await ack(rig, "c1");
    await becomes(rig, "c1", "acked");
    await rig.settled();
    rig.pass(5000);
    await rig.produce("dev-1", { n: 1 });
    await rig.settled();
    const looks = running.of("queue").length;
    await rig.wait("a few looks", () => running.of("queue").length > looks + 5);
    const expired = running.of("command").filter((e) => e.state === "expired");
    assert.equal(expired, []);
  }));

test("it expires when telemetry that arrived after its end has been applied", () =>
  withRig(async (rig) => {
    const running = await rig.start();
    rig.link.answer("no_subscriber");
    await rig.command("dev-1", "c1", 1000);
    await rig.wait("it to be sent", () => rig.link.sent.length === 1);
    rig.pass(2000);
    await rig.produce("dev-2", { n: 1 });
    await becomes(rig, "c1", "expired");
    assert.is(running.of("lane_restarted").length, 0);
  }));

test("on a silent partition it expires once everything up to the log's end has been applied", () =>
  withRig(async (rig) => {
    await rig.start();
    rig.link.answer("no_subscriber");
    await rig.command("dev-1", "c1", 1000);
    await rig.wait("it to be sent", () => rig.link.sent.length === 1);
    rig.pass(2000);
    await becomes(rig, "c1", "expired");
    const step = rig.store.commandsById.get("c1")!.history.at(-1)!;
    assert.match(step.evidence, "all of the log");
  }));

test("an ack that lies on the log before its end wins over the clock, however late it is read", () =>
  withRig(async (rig) => {
    const running = await rig.start();
    await rig.command("dev-1", "c1", 1000);
    await becomes(rig, "c1", "delivered");
    await rig.settled();
    // The lane stands still while the ack comes and the time passes.
    const release = rig.store.hold();
    await rig.produce("dev-1", { n: 1 });
    await ack(rig, "c1");
    rig.pass(60_000);
    const looks = running.of("queue").length;
    await rig.wait("a few looks", () => running.of("queue").length > looks + 5);
    release();
    await becomes(rig, "c1", "acked");
    await rig.settled();
    assert.is(stateOf(rig, "c1"), "acked");
    assert.not(statesOf(rig, "c1")!.includes("expired"));
  }));

test("an ack after the end is kept as late and changes nothing", () =>
  withRig(async (rig) => {
    await rig.start();
    await rig.command("dev-1", "c1", 1000);
    await becomes(rig, "c1", "delivered");
    rig.pass(2000);
    await becomes(rig, "c1", "expired");
    await ack(rig, "c1");
    await rig.settled();
    assert.is(stateOf(rig, "c1"), "expired");
    assert.is([...rig.store.acks.values()][0]?.late, true);
  }));

const history = (rig: Rig, cmdId: string) =>
  rig.store.commandsById.get(cmdId)!.history;

test("the latest command of a slot supersedes the older ones, sent or not", () =>
  withRig(async (rig) => {
    const running = await rig.start();
    const slot = { supersedes: "speed" };
    await rig.command("dev-1", "c1", 60_000, slot);
    await becomes(rig, "c1", "delivered");
    rig.link.setConnected(false);
    await rig.command("dev-1", "c2", 60_000, slot);
    await rig.command("dev-1", "other", 60_000, { supersedes: "light" });
    await becomes(rig, "c2", "queued");
    await rig.command("dev-2", "c9", 60_000, slot);
    await rig.command("dev-1", "c3", 60_000, slot);
    await becomes(rig, "c2", "superseded");
    await becomes(rig, "c1", "superseded");
    assert.match(history(rig, "c1").at(-1)!.evidence, "c2; it had been sent");
    assert.is(history(rig, "c2").at(-1)!.evidence, "by c3");
    rig.link.setConnected(true);
    for (const cmdId of ["c3", "other", "c9"])
      await becomes(rig, cmdId, "delivered");
    assert.not(rig.link.ids().includes("c2"));
    const ends = running.of("command").filter((e) => e.state === "superseded");
    assert.is(ends.length, 2);
  }));

test("a command is rejected when its condition does not hold at delivery, with the value seen", () =>
  withRig(async (rig) => {
    await rig.start();
    await rig.produce("dev-1", { status: "RUN" });
    const precondition = { point: "status", op: "eq", value: "STOP" };
    await rig.command("dev-1", "c1", 60_000, { precondition });
    await becomes(rig, "c1", "rejected");
    assert.match(history(rig, "c1").at(-1)!.evidence, '"status" is "RUN"');
    await rig.command("dev-2", "c2", 60_000, { precondition });
    await becomes(rig, "c2", "rejected");
    assert.match(history(rig, "c2").at(-1)!.evidence, "no last state");
    assert.equal(rig.link.ids(), []);
    // Its state is another when it is delivered than when it was given.
    rig.link.setConnected(false);
    await rig.command("dev-1", "c3", 60_000, { precondition });
    await becomes(rig, "c3", "queued");
    await rig.produce("dev-1", { status: "STOP" });
    await rig.settled();
    rig.link.setConnected(true);
    await becomes(rig, "c3", "delivered");
    assert.match(
      history(rig, "c3").find(({ evidence }) => evidence.includes("wanted"))!
        .evidence,
      '"status" is "STOP"',
    );
  }));

test("a command is canceled whether or not it was sent, and never after its end", () =>
  withRig(async (rig) => {
    await rig.start();
    await rig.command("dev-1", "c1");
    await becomes(rig, "c1", "delivered");
    await rig.cancel("dev-1", "c1");
    await becomes(rig, "c1", "canceled");
    assert.match(
      history(rig, "c1").at(-1)!.evidence,
      "by ana; it had been sent",
    );
    await ack(rig, "c1");
    await rig.settled();
    assert.is(stateOf(rig, "c1"), "canceled");
    assert.is([...rig.store.acks.values()][0]?.late, true);
    rig.link.setConnected(false);
    await rig.command("dev-1", "c2");
    await becomes(rig, "c2", "queued");
    await rig.cancel("dev-2", "c2");
    await rig.cancel("dev-1", "unknown");
    await rig.settled();
    assert.is(stateOf(rig, "c2"), "queued", "another device's wish");
    await rig.cancel("dev-1", "c2");
    await becomes(rig, "c2", "canceled");
    await rig.cancel("dev-1", "c2");
    await rig.settled();
    assert.is(statesOf(rig, "c2")!.length, 3);
    rig.link.setConnected(true);
    await rig.command("dev-1", "c3");
    await becomes(rig, "c3", "delivered");
    assert.equal(rig.link.ids(), ["c1", "c3"]);
  }));

test("a condition that held is not judged again by the processor that comes after one that may have sent it", () =>
  withRig(async (rig) => {
    const first = await rig.start();
    await rig.produce("dev-1", { status: "STOP" });
    await rig.settled();
    rig.link.answer("silence");
    const precondition = { point: "status", op: "eq", value: "STOP" };
    await rig.command("dev-1", "c1", 60_000, { precondition });
    await rig.wait("it to be sent", () => rig.link.sent.length === 1);
    await first.kill();
    // It was executed, and has made its own condition false.
    await rig.produce("dev-1", { status: "RUN" });
    rig.link.answer("delivered");
    await rig.start();
    await becomes(rig, "c1", "delivered");
    await ack(rig, "c1");
    await becomes(rig, "c1", "acked");
    assert.not(statesOf(rig, "c1")!.includes("rejected"));
  }));

test("a command nobody could read becomes a dead letter of its topic", () =>
  withRig(async (rig) => {
    await rig.start();
    await rig.log.writer.append(TOPIC.commands, [
      { key: "dev-1", value: Buffer.from("{") },
    ]);
    await rig.command("dev-1", "c1");
    await becomes(rig, "c1", "delivered");
    const [letter] = [...rig.store.letters.values()];
    assert.is(letter?.reason, "parse_error");
    assert.is(letter!.source.topic, TOPIC.commands);
  }));

test.run();
