import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import { TwinstreamError } from "../../src/errors.js";
import { breakable } from "../support/breakable.js";
import {
  type Rig,
  type Running,
  upTo,
  withRig,
} from "../support/pipeline-rig.js";

const test = suite("lanes whose stores are away");

const waits = (rig: Rig, running: Running, on: string) =>
  rig.wait(`the lane to wait for ${on}`, () =>
    running.processor
      .troubles()
      .some((trouble) => trouble.includes(`waits for ${on}`)),
  );

const redisAway = () => new TwinstreamError("VIEW_UNREACHABLE", "ECONNREFUSED");
const databaseAway = () =>
  new TwinstreamError("STORE_UNREACHABLE", "ECONNREFUSED");
const logAway = () => new TwinstreamError("LOG_UNREACHABLE", "ECONNREFUSED");

test("with Redis away nothing is stored or committed, readiness says so, and it goes on by itself", () =>
  withRig(async (rig) => {
    const redis = breakable(rig.view.view, redisAway);
    const running = await rig.start({ ports: { view: redis.port } });
    await rig.produceMany(0, 3);
    await rig.settled();
    redis.break();
    await rig.produceMany(3, 9);
    await waits(rig, running, "redis");
    assert.equal(rig.values("dev-1"), upTo(3));
    assert.is(rig.committed(TOPIC.data), 3);
    redis.mend();
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(9));
    assert.is(rig.published("dev-1").length, 9);
    assert.equal(running.processor.troubles(), []);
    assert.is(running.of("lane_restarted").length, 0);
    assert.ok(running.of("lane_resumed").length > 0);
  }));

test("with the database away Redis goes on, nothing is committed, and all of it is stored afterwards", () =>
  withRig(async (rig) => {
    const database = breakable(rig.store, databaseAway);
    const running = await rig.start({ ports: { store: database.port } });
    await rig.produceMany(0, 3);
    await rig.settled();
    database.break();
    await rig.produceMany(3, 9);
    await waits(rig, running, "database");
    await rig.wait(
      "Redis to have it",
      () => rig.published("dev-1").length === 9,
    );
    assert.equal(rig.values("dev-1"), upTo(3));
    assert.is(rig.committed(TOPIC.data), 3);
    database.mend();
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(9));
    assert.is(rig.published("dev-1").length, 9);
    assert.equal(running.processor.troubles(), []);
  }));

test("with both away it says so of each for as long as it waits for it", () =>
  withRig(async (rig) => {
    const database = breakable(rig.store, databaseAway);
    const redis = breakable(rig.view.view, redisAway);
    const running = await rig.start({
      ports: { store: database.port, view: redis.port },
    });
    await rig.produceMany(0, 3);
    await rig.settled();
    database.break();
    await rig.produceMany(3, 4);
    await waits(rig, running, "database");
    redis.break();
    await rig.produceMany(4, 5);
    await waits(rig, running, "redis");
    redis.mend();
    await rig.wait(
      "Redis to be written",
      () => rig.published("dev-1").length === 5,
    );
    await waits(rig, running, "database");
    database.mend();
    await rig.settled();
    await rig.wait(
      "all to be well",
      () => running.processor.troubles().length === 0,
    );
    assert.equal(rig.values("dev-1"), upTo(5));
  }));

test("a partition that is claimed while the database is away is claimed once it is back", () =>
  withRig(async (rig) => {
    const database = breakable(rig.store, databaseAway);
    database.break();
    const running = await rig.start({ ports: { store: database.port } });
    await rig.produceMany(0, 5);
    await waits(rig, running, "database");
    assert.is(running.of("claimed").length, 0);
    database.mend();
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(5));
    assert.equal(running.processor.troubles(), []);
  }));

test("with the log's inspector away a claim waits, and goes on by itself", () =>
  withRig(async (rig) => {
    const log = breakable(rig.log.inspector, logAway);
    const running = await rig.start({ ports: { log: log.port } });
    await rig.produceMany(0, 2);
    await rig.settled();
    log.break();
    rig.store.fences.get(`${TOPIC.data}/0`)!.epoch++;
    await rig.produceMany(2, 4);
    await waits(rig, running, "the log");
    log.mend();
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(4));
  }));

test("with the dead-letter topic away nothing after the letter is committed, and the letter is not lost", () =>
  withRig(async (rig) => {
    const writer = breakable(rig.log.writer, logAway);
    writer.break();
    const running = await rig.start({ ports: { deadLetters: writer.port } });
    await rig.produceMany(0, 1);
    await rig.produce("dev-1", "not JSON");
    await rig.produceMany(1, 2);
    await waits(rig, running, "the log");
    assert.ok((rig.committed(TOPIC.data) ?? 0) <= 1);
    writer.mend();
    await rig.settled();
    assert.is(rig.store.letters.size, 1);
    assert.is(rig.records(TOPIC.dataDeadLetters).length, 1);
    assert.equal(rig.values("dev-1"), upTo(2));
  }));

test("Redis that comes back empty under load is whole again, without a second publish of anything", () =>
  withRig(
    async (rig) => {
      await rig.start();
      for (let n = 0; n < 120; n++) {
        await rig.produce("dev-1", { n });
        if (n === 40 || n === 80) {
          await rig.wait(
            "some of it",
            () => rig.published("dev-1").length > n / 2,
          );
          rig.view.loseEverything();
        }
        if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await rig.settled();
      await rig.wait(
        "the history",
        () => rig.view.history("dev-1").size === 120,
      );
      assert.equal(rig.values("dev-1"), upTo(120));
      assert.is(
        new Set(rig.published("dev-1")).size,
        rig.published("dev-1").length,
      );
      assert.is(rig.view.last.get("dev-1")?.offset, 119);
    },
    { batchRecords: 7 },
  ));

test("Redis that comes back empty is rebuilt for a lane that nothing comes on", () =>
  withRig(async (rig) => {
    const running = await rig.start();
    await rig.produceMany(0, 10);
    await rig.settled();
    rig.view.loseEverything();
    await rig.wait(
      "the rebuild",
      () => rig.isSettled() && rig.view.history("dev-1").size === 10,
    );
    assert.is(running.of("rebuild_finished").length, 1);
    assert.is(rig.view.last.get("dev-1")?.offset, 9);
  }));

test("a clean stop while the database is away ends at its deadline and commits nothing", () =>
  withRig(async (rig) => {
    const database = breakable(rig.store, databaseAway);
    const running = await rig.start({ ports: { store: database.port } });
    await rig.produceMany(0, 2);
    await rig.settled();
    database.break();
    await rig.produceMany(2, 5);
    await waits(rig, running, "database");
    await running.processor.stop(20);
    assert.is(rig.committed(TOPIC.data), 2);
    assert.equal(rig.values("dev-1"), upTo(2));
    await rig.start();
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(5));
  }));

test.run();
