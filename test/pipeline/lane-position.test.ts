import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import { GROUP, type Rig, upTo, withRig } from "../support/pipeline-rig.js";

const test = suite("where a lane begins, and what it refuses");

const DATA = `${TOPIC.data}/0`;

test("stored offsets of another cluster are refused with what to do, and it goes on by itself once they are mended", () =>
  withRig(async (rig) => {
    await rig.produceMany(0, 4);
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    const fence = rig.store.fences.get(DATA)!;
    fence.clusterId = "another-log";
    await rig.produceMany(4, 6);
    const second = await rig.start();
    await rig.wait("a refusal", () => second.of("lane_refused").length > 0);
    assert.match(
      second.processor.troubles().join(),
      /partition 0 .*another-log.*twinstream offsets adopt\|rewind/,
    );
    // It looks again and again, and says it once.
    const { epoch } = fence;
    await rig.wait("it to look again", () => fence.epoch > epoch + 2);
    assert.is(second.of("lane_refused").length, 1);
    assert.is(fence.nextOffset, 4);
    fence.clusterId = "log-1";
    await rig.settled();
    assert.equal(second.processor.troubles(), []);
    assert.equal(rig.values("dev-1"), upTo(6));
  }));

test("a refused lane looks again at its own pace, however often the group was dealt anew", () =>
  withRig(async (rig) => {
    await rig.produceMany(0, 1);
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    const fence = rig.store.fences.get(DATA)!;
    fence.nextOffset = 500;
    let claims = 0;
    const claim = rig.store.claim;
    rig.store.claim = (...args) => {
      claims++;
      return claim(...args);
    };
    await rig.start({ settings: { refusedMs: 60 } });
    await rig.wait("a refusal", () => claims === 1);
    // Members that come and go: each time the partition is assigned again.
    for (let i = 0; i < 20; i++) {
      const other = rig.log.feed(GROUP, [TOPIC.data]);
      await other.start({
        assigned: () => undefined,
        batch: async () => false,
      });
      await other.stop();
    }
    await rig.wait("the claims that it causes", () => claims > 1);
    claims = 0;
    const began = Date.now();
    await rig.wait("three more looks", () => claims >= 3);
    assert.ok(Date.now() - began >= 100, "one look every 60 ms");
  }));

/** A processor stores so many messages and stops; answers what the fence then says of them. */
async function storedAndStopped(rig: Rig, messages: number) {
  await rig.produceMany(0, messages);
  const first = await rig.start();
  await rig.settled();
  await first.stop();
  return rig.store.fences.get(DATA)!;
}

/** Another processor starts, and refuses for this reason. */
async function refused(rig: Rig, code: string) {
  const second = await rig.start();
  await rig.wait("a refusal", () => second.of("lane_refused").length > 0);
  assert.is(second.of("lane_refused")[0]!.error.code, code);
  return second;
}

test("a stored offset beyond the log is refused, and nothing is committed", () =>
  withRig(async (rig) => {
    const fence = await storedAndStopped(rig, 2);
    fence.nextOffset = 50;
    const second = await refused(rig, "POSITION_BEYOND_LOG");
    assert.match(second.processor.troubles().join(), "beyond the log's end 2");
    assert.is(fence.nextOffset, 50);
  }));

test("a database that has nothing of what the group has worked off is refused until it is adopted", () =>
  withRig(async (rig) => {
    const fence = await storedAndStopped(rig, 3);
    fence.nextOffset = -1;
    fence.clusterId = null;
    const second = await refused(rig, "NOTHING_STORED");
    assert.match(
      second.processor.troubles().join(),
      "twinstream offsets adopt",
    );
    assert.is(fence.nextOffset, -1);
    fence.nextOffset = 0;
    await rig.settled();
    assert.equal(second.processor.troubles(), []);
  }));

test("another record at the stored offset is refused before anything is taken", () =>
  withRig(async (rig) => {
    const fence = await storedAndStopped(rig, 3);
    const known = fence.lastRecordMs!;
    fence.lastRecordMs = known - 1000;
    await rig.produceMany(3, 5);
    const second = await refused(rig, "OTHER_RECORD");
    assert.equal(rig.values("dev-1"), upTo(3));
    fence.lastRecordMs = known;
    await rig.settled();
    assert.equal(rig.values("dev-1"), upTo(5));
    assert.equal(second.processor.troubles(), []);
  }));

test("what was lost to retention is written down and told, and the lane goes on behind the gap", () =>
  withRig(async (rig) => {
    await rig.produceMany(0, 4);
    const first = await rig.start();
    await rig.settled();
    await first.stop();
    await rig.produceMany(4, 12);
    rig.log.truncate(TOPIC.data, 0, 9);
    const second = await rig.start();
    await rig.settled();
    assert.equal(rig.store.gaps, [
      { topic: TOPIC.data, partition: 0, from: 4, to: 9 },
    ]);
    const [lost] = second.of("lost_to_retention");
    assert.is(lost?.from, 4);
    assert.is(lost?.to, 9);
    assert.equal(rig.values("dev-1"), [...upTo(4), ...upTo(12, 9)]);
  }));

test.run();
