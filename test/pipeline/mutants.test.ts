/**
 * Whether the checks can fail: each promise is broken on purpose, by a part put in the place of the program's own, and the check
 * that guards it must turn red; with the program's own it is green. A mutant that survives fails its test.
 */
import { gzipSync, gunzipSync } from "node:zlib";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { gunzip } from "../../src/adapters/kafka/codecs.js";
import { TOPIC } from "../../src/domain/names.js";
import { TwinstreamError } from "../../src/errors.js";
import type {
  DeviceView,
  LaneFeed,
  PacketSource,
  TelemetryStore,
} from "../../src/ports.js";
import { createWorker } from "../../src/pipeline/worker.js";
import { createMemoryLog } from "../support/memory-log.js";
import { listening, NOW_MS } from "../support/messages.js";
import { type Rig, withRig } from "../support/pipeline-rig.js";
import { ID, withBridge } from "./bridge-ground.js";

/** What a check throws when it is red; anything else that is thrown is a fault of the test. */
class Red extends Error {
  override readonly name = "Red";
}
function holds(condition: boolean, what: string): void {
  if (!condition) throw new Red(what);
}

interface Mutant {
  /** What is broken, as the list of FAULTS names it. */
  readonly name: string;
  /** What the check says once it is. */
  readonly red: RegExp;
  readonly check: (planted: boolean) => Promise<void>;
}

const turns = async (count: number): Promise<void> => {
  for (let n = 0; n < count; n++)
    await new Promise<void>((resolve) => setImmediate(resolve));
};

const stored = (rig: Rig): number =>
  Math.max(0, rig.store.fences.get(`${TOPIC.data}/0`)?.nextOffset ?? 0);

const commitBeforeFlush: Mutant = {
  name: "offset commit before flush",
  red: /committed, and the database has/,
  check: (planted) =>
    withRig(async (rig) => {
      const early = (own: LaneFeed): LaneFeed => ({
        ...own,
        start: (handler) =>
          own.start({
            ...handler,
            assigned(generation, partitions) {
              now = generation;
              handler.assigned(generation, partitions);
            },
            async batch(topic, partition, records, high) {
              const offset = records.at(-1)!.offset + 1;
              await own.commit(now, [{ topic, partition, offset }]);
              return handler.batch(topic, partition, records, high);
            },
          }),
      });
      let now = 0;
      const feed = rig.log.feed("twinstream-processor", [
        TOPIC.commands,
        TOPIC.data,
      ]);
      const let_go = rig.store.hold();
      const running = await rig.start({
        ports: { feed: planted ? early(feed) : feed },
      });
      await rig.produceMany(0, 5);
      await rig.wait("Redis to have them", () => rig.published("dev-1").length);
      await turns(20);
      // The instant of death: nothing that follows reaches anything.
      await running.kill();
      const committed = rig.committed(TOPIC.data) ?? 0;
      holds(
        committed <= stored(rig),
        `${committed} are committed, and the database has ${stored(rig)}`,
      );
      let_go();
    }),
};

/** Messages that are neither on the log nor kept by the broker. */
function bridgeLoses(
  name: string,
  plant: (own: PacketSource) => PacketSource,
): Mutant {
  return {
    name,
    red: /accepted and not on the log/,
    check: (planted) =>
      withBridge(
        async ({ broker, bridge, publish, waiting, stored: onLog }) => {
          const accept = async (): Promise<void> => {
            await turns(20);
            const call = waiting.shift();
            if (call === undefined) return;
            onLog.push(...call.records);
            call.resolve();
            await turns(5);
          };
          publish("d", '{"n":1}');
          await accept();
          publish("d", '{"n":2}');
          publish("d", '{"n":3}');
          await turns(20);
          // One append is under way as the connection breaks; what comes again has other packet ids.
          broker.cut();
          publish("d", '{"n":4}');
          publish("d", '{"n":5}');
          await accept();
          // The instant of death: the next bridge gets what the broker still has.
          await bridge.stop(0);
          const texts = onLog.map(({ value }) => String(value));
          await broker
            .source(ID)
            .start(({ payload }) => texts.push(String(payload)));
          await turns(5);
          const lost = [1, 2, 3, 4, 5].filter(
            (n) => !texts.some((text) => text.includes(`"n":${n}`)),
          );
          holds(
            lost.length === 0,
            `${lost.join()} are accepted and not on the log`,
          );
        },
        { lingerMs: 0 },
        undefined,
        planted ? plant : undefined,
      ),
  };
}

const pubackBeforeLog = bridgeLoses("PUBACK before the log's ack", (own) => ({
  ...own,
  start: (onPacket) =>
    own.start((packet) => {
      own.acknowledge([packet]);
      onPacket(packet);
    }),
}));

const stalePuback = bridgeLoses("stale PUBACK after reconnect", (own) => {
  let connection = 0;
  return {
    ...own,
    start: (onPacket) =>
      own.start((packet) => {
        connection = packet.connection;
        onPacket(packet);
      }),
    acknowledge: (packets) =>
      own.acknowledge(packets.map((packet) => ({ ...packet, connection }))),
  };
});

const uniqueKeyDropped: Mutant = {
  name: "unique key dropped",
  red: /rows for 5 readings/,
  check: (planted) =>
    withRig(async (rig) => {
      // A table without its key keeps what the flush calls duplicates.
      let extra = 0;
      const keyless = (own: TelemetryStore): TelemetryStore => ({
        ...own,
        async flush(batch, beforeCommit) {
          const result = await own.flush(batch, beforeCommit);
          if (result.fence === "moved") extra += result.duplicates;
          return result;
        },
      });
      const ports = planted ? { store: keyless(rig.store) } : {};
      const first = await rig.start({ ports });
      await rig.produceMany(0, 5);
      await rig.settled();
      await first.kill();
      const fence = rig.store.fences.get(`${TOPIC.data}/0`)!;
      fence.nextOffset = 0;
      fence.lastRecordMs = null;
      await rig.start({ ports });
      await rig.settled();
      const rows = rig.store.rows().length + extra;
      holds(rows === 5, `${rows} rows for 5 readings`);
    }),
};

/** What Redis shows of dev-1 against what was sent. */
function viewIsWhole(rig: Rig, count: number): void {
  const shown = rig.view.history("dev-1").size;
  holds(shown === count, `the history has ${shown} of ${count}`);
  const last = rig.view.last.get("dev-1")?.payload ?? "";
  holds(
    last.includes(`"n":${count - 1}`),
    `the last state is ${last}, not number ${count - 1}`,
  );
}

const redisErrorsIgnored: Mutant = {
  name: "Redis per-command errors ignored",
  red: /the history has/,
  check: (planted) =>
    withRig(async (rig) => {
      const deaf = (own: DeviceView): DeviceView => ({
        ...own,
        async write(write) {
          try {
            return await own.write(write);
          } catch {
            // As one that looks only at whether the pipeline came back; the command that moves the mark is one that worked.
            const { mark } = write;
            return mark === null
              ? { marked: false }
              : own.write({ changes: [], publish: false, mark });
          }
        },
      });
      let refuses = false;
      const refusing: DeviceView = {
        ...rig.view.view,
        async write(write) {
          if (refuses && write.changes.length > 0) {
            refuses = false;
            throw new TwinstreamError("VIEW_UNREACHABLE", "out of memory");
          }
          return rig.view.view.write(write);
        },
      };
      const view = planted ? deaf(refusing) : refusing;
      await rig.start({ ports: { view } });
      await rig.produceMany(0, 3);
      await rig.settled();
      refuses = true;
      await rig.produceMany(3, 6);
      await rig.settled();
      viewIsWhole(rig, 6);
    }),
};

const redisGuardRemoved: Mutant = {
  name: "Redis guard removed",
  red: /the last state is/,
  check: (planted) =>
    withRig(
      async (rig) => {
        let order = Number.MAX_SAFE_INTEGER - 1e6;
        let goOn = (): void => undefined;
        const held = new Promise<void>((resolve) => (goOn = resolve));
        /** A rebuild does not write before it is let. */
        const slow = (own: DeviceView): DeviceView => ({
          ...own,
          async write(write) {
            if (!write.publish) await held;
            return own.write(write);
          },
        });
        const unguarded = (own: DeviceView): DeviceView => ({
          ...own,
          write: (write) =>
            own.write({
              ...write,
              // Later than whatever stands there.
              changes: write.changes.map((change) => ({
                ...change,
                last: change.last && { ...change.last, orderUs: ++order },
              })),
            }),
        });
        const view = slow(planted ? unguarded(rig.view.view) : rig.view.view);
        const running = await rig.start({ ports: { view } });
        await rig.produceMany(0, 40);
        await rig.settled();
        rig.view.loseEverything();
        await rig.produceMany(40, 41);
        await rig.wait(
          "a rebuild",
          () => running.of("rebuild_started").length > 0,
        );
        // It writes what is older after newer was written live.
        await rig.produceMany(41, 42);
        await rig.wait("the newest to be published", () =>
          rig.published("dev-1").some((text) => text.includes('"n":41')),
        );
        goOn();
        await rig.settled();
        await rig.wait(
          "the history to be whole",
          () => rig.view.history("dev-1").size === 42,
        );
        await turns(20);
        viewIsWhole(rig, 42);
      },
      { batchRecords: 3 },
    ),
};

const commitMax: Mutant = {
  name: "commit max instead of contiguous",
  red: /is told and not done/,
  async check(planted) {
    const log = createMemoryLog({ partitions: 1 });
    const done = new Set<number>();
    const feed = log.feed("g", [TOPIC.uploads]);
    let now = 0;
    const known: LaneFeed = {
      ...feed,
      start: (handler) =>
        feed.start({
          ...handler,
          assigned(generation, partitions) {
            now = generation;
            handler.assigned(generation, partitions);
          },
        }),
    };
    /** As one that tells of the latest that is done. */
    const tellGreatest = (): Promise<void> =>
      feed.commit(now, [
        { topic: TOPIC.uploads, partition: 0, offset: Math.max(...done) + 1 },
      ]);
    const ends: (() => void)[] = [];
    const worker = createWorker({
      feed: known,
      claims: {
        moves: 0,
        handle: (records) =>
          new Promise((resolve) =>
            ends.push(() => {
              for (const { offset } of records) done.add(offset);
              resolve();
            }),
          ),
      },
      observer: listening(),
      clock: () => NOW_MS,
      watchdogMs: 60_000,
      giveUp: assert.unreachable,
    });
    await worker.start();
    try {
      for (let n = 0; n < 3; n++) {
        await log.writer.append(TOPIC.uploads, [
          { key: null, value: Buffer.from("{}") },
        ]);
        await turns(5);
      }
      assert.is(ends.length, 3, "all are in work");
      for (const end of [ends[0]!, ends[2]!]) {
        end();
        if (planted) await tellGreatest();
        await turns(5);
        const told = log.committed("g", TOPIC.uploads, 0) ?? 0;
        for (let offset = 0; offset < told; offset++)
          holds(done.has(offset), `${offset} is told and not done`);
      }
    } finally {
      ends[1]?.();
      await worker.stop(1000);
    }
  },
};

const epochIgnored: Mutant = {
  name: "epoch ignored",
  red: /went back/,
  check: (planted) =>
    withRig(async (rig) => {
      // The zombie: its flush waits, as of a process that is stopped, while another takes the partition.
      let thaw = (): void => undefined;
      const frozen = new Promise<void>((resolve) => (thaw = resolve));
      let waits = false;
      let over = false;
      let lowest = Infinity;
      const ofTheZombie: TelemetryStore = {
        ...rig.store,
        async flush(batch, beforeCommit) {
          waits = true;
          await frozen;
          if (!planted) {
            over = true;
            return rig.store.flush(batch, beforeCommit);
          }
          const fence = batch.fence.map((move) => {
            const row = rig.store.fences.get(`${move.topic}/0`)!;
            return { ...move, epoch: row.epoch, from: row.nextOffset };
          });
          const result = await rig.store.flush(
            // The double moves a fence only forward: an offset that is set without a look at the epoch goes where it is told.
            {
              ...batch,
              fence: fence.map((move) => ({ ...move, to: move.from })),
            },
            beforeCommit,
          );
          for (const { topic, to } of batch.fence)
            rig.store.fences.get(`${topic}/0`)!.nextOffset = to;
          lowest = Math.min(lowest, stored(rig));
          over = true;
          return result;
        },
      };
      const zombie = await rig.start({ ports: { store: ofTheZombie } });
      await rig.produceMany(0, 3);
      await rig.wait("the zombie's flush", () => waits);
      await rig.start({ group: "another" });
      await rig.produceMany(3, 9);
      await rig.wait("the other to store all", () => stored(rig) === 9);
      thaw();
      await rig.wait("the zombie's flush to go on", () => over);
      await turns(20);
      lowest = Math.min(lowest, stored(rig));
      await zombie.kill();
      holds(lowest >= 9, `the stored offset went back from 9 to ${lowest}`);
    }),
};

const letterNotAwaited: Mutant = {
  name: "DLQ write not awaited",
  red: /stored, and its letter is not on the log/,
  check: (planted) =>
    withRig(async (rig) => {
      let away = true;
      const own = {
        append: async (...args: Parameters<typeof rig.log.writer.append>) => {
          if (away) throw new TwinstreamError("LOG_UNREACHABLE", "told so");
          return rig.log.writer.append(...args);
        },
      };
      const hasty: typeof own = {
        async append(...args) {
          own.append(...args).catch(() => undefined);
        },
      };
      await rig.start({ ports: { deadLetters: planted ? hasty : own } });
      await rig.produce("dev-1", "no JSON");
      await rig.produceMany(0, 2);
      await turns(60);
      const letters = (): number => rig.records(TOPIC.dataDeadLetters).length;
      const isTold = (): boolean => stored(rig) > 0 && letters() === 0;
      await rig
        .wait("the lane to wait, or to go past it", isTold)
        .catch(() => undefined);
      holds(
        !isTold(),
        "the poison is stored, and its letter is not on the log",
      );
      away = false;
      await rig.settled();
      holds(letters() === 1, "the letter was lost");
    }),
};

const BOUND = 1024 * 1024;
const unboundedGzip: Mutant = {
  name: "unbounded gzip",
  red: /bytes came of a batch/,
  async check(planted) {
    const bomb = gzipSync(Buffer.alloc(32 * BOUND));
    const unfold = planted
      ? async (input: Buffer) => gunzipSync(input)
      : gunzip;
    const bytes = await unfold(bomb, BOUND).then(
      ({ length }) => length,
      () => 0,
    );
    holds(bytes <= BOUND, `${bytes} bytes came of a batch of ${bomb.length}`);
  },
};

const MUTANTS: readonly Mutant[] = [
  commitBeforeFlush,
  pubackBeforeLog,
  uniqueKeyDropped,
  redisErrorsIgnored,
  redisGuardRemoved,
  commitMax,
  epochIgnored,
  letterNotAwaited,
  unboundedGzip,
  stalePuback,
];

const test = suite("mutants");

for (const { name, red, check } of MUTANTS)
  test(`${name}: its check is green without it and red with it`, async () => {
    await check(false);
    let found: unknown = null;
    try {
      await check(true);
    } catch (error) {
      found = error;
    }
    assert.instance(found, Red, `the mutant survives (${String(found)})`);
    assert.match((found as Red).message, red);
  });

test("each promise that the list of faults breaks on purpose has its mutant", () => {
  assert.is(new Set(MUTANTS.map(({ name }) => name)).size, 10);
});

test.run();
