/** The life of a command against a model of a few lines, over every order of what may happen to it. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type CommandChange,
  type CommandLife,
  type CommandState,
  hasEnded,
  type KeptAck,
  liveOn,
  standsBefore,
} from "../../src/domain/command-life.js";
import type { StoreChange } from "../../src/domain/device.js";
import type { AckMessage, CancelRequest } from "../../src/domain/message.js";
import {
  ack,
  command,
  device,
  NOW_US,
} from "../conformance/telemetry-store-batches.js";

const test = suite("a command's life");
const dev = device("dev-1");

type LogEntry = Pick<StoreChange, "commands" | "acks">;
const asked = (cmdId: string, supersedes: string | null = null): LogEntry => ({
  commands: [command(cmdId, { supersedes })],
  acks: [],
});
const answered = (cmdId: string, over: Partial<AckMessage> = {}): LogEntry => ({
  commands: [],
  acks: [ack(dev, cmdId, over)],
});
const canceled = (cancels: string): LogEntry => {
  const cancel: CancelRequest = {
    tenant: "default",
    deviceId: "dev-1",
    cancels,
    by: "ana",
    askedUs: NOW_US,
  };
  return { commands: [cancel], acks: [] };
};
const change = (
  cmdId: string,
  state: CommandChange["state"],
): CommandChange => ({
  cmdId,
  state,
  atUs: NOW_US,
  evidence: state,
});

/** A store of lives: what has been flushed, stays; what was gathered and not flushed, a restart forgets and reads again. */
function createWorld() {
  const lives = new Map<string, CommandLife>();
  const histories = new Map<string, string[]>();
  const acks = new Map<string, KeptAck>();
  const log: LogEntry[] = [];
  let stored = 0;
  let sendings: CommandChange[] = [];

  function flush(): void {
    const changes = log.slice(stored);
    for (const { commands } of changes)
      for (const order of commands)
        if ("cmdId" in order && !lives.has(order.cmdId)) {
          lives.set(order.cmdId, {
            tenant: "default",
            deviceId: "dev-1",
            slot: order.supersedes,
            precondition: order.precondition,
            state: "queued",
            ok: null,
            err: null,
            judged: false,
            awaited: true,
            added: [],
          });
          histories.set(order.cmdId, ["queued"]);
        }
    const before = new Map([...lives].map(([id, { state }]) => [id, state]));
    const found = liveOn(lives, {
      sendings,
      changes,
      toJudge: [],
      newest: () => null,
    });
    for (const [cmdId, life] of lives) {
      const added = life.added.splice(0).map(({ state }) => state);
      const was = before.get(cmdId)!;
      assert.ok(!hasEnded(was) || added.length === 0, "an end is final");
      assert.is(added.at(-1) ?? was, life.state, "the history tells the state");
      histories.get(cmdId)!.push(...added);
    }
    for (const kept of found.acks) {
      const standing = acks.get(kept.ack.cmdId);
      if (standing === undefined || standsBefore(kept.ack, standing.ack))
        acks.set(kept.ack.cmdId, kept);
    }
    stored = log.length;
    sendings = [];
  }

  return {
    lives,
    histories,
    acks,
    flush,
    append: (entry: LogEntry) => void log.push(entry),
    send: (...all: CommandChange[]) => void sendings.push(...all),
    /** What was known of sendings is gone, and what is open and not delivered is sent again. */
    restart() {
      sendings = [];
      for (const [cmdId, { state }] of lives)
        if (state === "queued" || state === "sent")
          sendings.push(change(cmdId, "sent"), change(cmdId, "delivered"));
    },
    /** Only once everything on the log is stored, as the lane does. */
    expire(cmdId: string) {
      flush();
      sendings.push(change(cmdId, "expired"));
    },
  };
}

/** The whole model: the first of these on the log, or in time, is the end; nothing else counts. */
function modelEnd(steps: readonly Step[]): CommandState {
  for (const step of steps) if (step !== "restart") return ENDS[step];
  return "delivered";
}

type Step =
  "ack" | "same ack" | "other ack" | "no" | "cancel" | "expiry" | "restart";
const ENDS: Record<Exclude<Step, "restart">, CommandState> = {
  ack: "acked",
  "same ack": "acked",
  "other ack": "acked",
  no: "failed",
  cancel: "canceled",
  expiry: "expired",
};
const STEPS: readonly Step[] = [...(Object.keys(ENDS) as Step[]), "restart"];
const FIRST = { execUs: NOW_US + 5, hash: "5".repeat(64) };
const ACKS: Partial<Record<Step, Partial<AckMessage>>> = {
  ack: FIRST,
  "same ack": FIRST,
  "other ack": { execUs: NOW_US + 3, hash: "3".repeat(64) },
  no: { execUs: NOW_US + 4, hash: "4".repeat(64), ok: false, err: "jammed" },
};

/** @param flushAfter whether a flush follows the step at this place. */
function live(steps: readonly Step[], flushAfter: (place: number) => boolean) {
  const world = createWorld();
  world.append(asked("c1"));
  world.flush();
  world.send(change("c1", "sent"), change("c1", "delivered"));
  world.flush();
  for (const [place, step] of steps.entries()) {
    if (step === "cancel") world.append(canceled("c1"));
    else if (step === "expiry") world.expire("c1");
    else if (step === "restart") world.restart();
    else world.append(answered("c1", ACKS[step]));
    // An expiry that no flush has stored yet, and all that follows it on the log, is one flush; the log goes first there.
    if (step === "expiry" || flushAfter(place)) world.flush();
  }
  world.flush();
  return world;
}

function* orders(steps: readonly Step[]): Generator<Step[]> {
  if (steps.length === 0) yield [];
  for (const [i, step] of steps.entries())
    for (const rest of orders(steps.toSpliced(i, 1))) yield [step, ...rest];
}

test("every order of acks, cancel, expiry and restart ends as the model says, however it is cut into flushes", () => {
  let tried = 0;
  for (const order of orders(STEPS)) {
    const expected = modelEnd(order);
    const apart = live(order, () => true);
    const history = apart.histories.get("c1")!;
    assert.equal(
      history,
      ["queued", "sent", "delivered", expected],
      order.join(", "),
    );
    const kept = apart.acks.get("c1")!;
    assert.is(kept.ack.execUs, NOW_US + 3, "the smallest ack stands");
    for (const cut of [() => false, (place: number) => place % 2 === 0]) {
      const other = live(order, cut);
      assert.equal(other.histories.get("c1"), history, order.join(", "));
      assert.equal(other.acks.get("c1"), kept, order.join(", "));
      assert.is(other.lives.get("c1")!.ok, apart.lives.get("c1")!.ok);
    }
    tried++;
  }
  assert.is(tried, 5040);
});

test("of a slot the latest command alone stays open, however the log is cut into flushes", () => {
  const entries = fc.array(
    fc.oneof(
      fc.record({ ask: fc.nat(5), slot: fc.constantFrom("a", "b", null) }),
      fc.record({ cancel: fc.nat(5) }),
      fc.record({ ack: fc.nat(5), ok: fc.boolean() }),
    ),
    { maxLength: 14 },
  );
  fc.assert(
    fc.property(
      entries,
      fc.array(fc.boolean(), { maxLength: 14 }),
      (all, cuts) => {
        const run = (cutAt: (i: number) => boolean) => {
          const world = createWorld();
          for (const [i, entry] of all.entries()) {
            if ("ask" in entry)
              world.append(asked(`c${entry.ask}`, entry.slot));
            else if ("cancel" in entry)
              world.append(canceled(`c${entry.cancel}`));
            else world.append(answered(`c${entry.ack}`, { ok: entry.ok }));
            if (cutAt(i)) world.flush();
          }
          world.flush();
          return world;
        };
        const one = run(() => true);
        for (const slot of ["a", "b"]) {
          const open = [...one.lives.values()].filter(
            (life) => life.slot === slot && !hasEnded(life.state),
          );
          assert.ok(open.length <= 1, `one open command in slot ${slot}`);
        }
        for (const other of [run(() => false), run((i) => cuts[i] ?? false)]) {
          assert.equal(other.histories, one.histories);
          assert.equal(other.acks, one.acks);
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("a command superseded after it was sent says that it may be executed; a later ack is late", () => {
  const world = createWorld();
  world.append(asked("c1", "speed"));
  world.flush();
  world.send(change("c1", "sent"));
  world.append(asked("c2", "speed"));
  world.append(answered("c1"));
  world.flush();
  assert.equal(world.histories.get("c1"), ["queued", "sent", "superseded"]);
  assert.is(world.acks.get("c1")!.late, true);
  assert.equal(world.histories.get("c2"), ["queued"]);
});

test.run();
