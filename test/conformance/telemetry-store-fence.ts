/** The fence, as every TelemetryStore must keep it. */
import * as assert from "uvu/assert";
import type { StoreTest } from "./telemetry-store.js";
import {
  change,
  claimLane,
  COMMANDS,
  DATA,
  knownSensor,
  moved,
  NOW_US,
  PARTITION,
  row,
  sentNothing,
} from "./telemetry-store-batches.js";

export function fenceTests(test: StoreTest): void {
  test("a partition never claimed stands at -1, and each claim raises the epoch", async ({
    store,
  }) => {
    const first = await store.claim([COMMANDS, DATA], PARTITION, "one");
    assert.equal(
      first.map(({ topic, nextOffset, epoch, clusterId, lastRecordMs }) => [
        topic,
        nextOffset,
        epoch,
        clusterId,
        lastRecordMs,
      ]),
      [
        [COMMANDS, -1, 1, null, null],
        [DATA, -1, 1, null, null],
      ],
    );
    const second = await store.claim([COMMANDS, DATA], PARTITION, "two");
    assert.equal(
      second.map((claim) => claim.epoch),
      [2, 2],
    );
    const other = await store.claim([DATA], PARTITION + 1, "two");
    assert.equal(other[0]!.epoch, 1);
  });

  test("a flush moves the fence, and the next claim says where it stands", async ({
    store,
  }) => {
    const lane = await claimLane(store);
    assert.is(moved(await lane.flush(10)).stored, 0);
    const [ofCommands, ofData] = await store.claim(
      [COMMANDS, DATA],
      PARTITION,
      "two",
    );
    assert.is(ofCommands!.nextOffset, -1);
    assert.equal(ofData, {
      topic: DATA,
      nextOffset: 10,
      epoch: 2,
      clusterId: "cluster-1",
      lastRecordMs: 1_763_600_000_123,
    });
  });

  test("a first flush may begin anywhere, since the log's start may be gone", async ({
    store,
  }) => {
    const [claim] = await store.claim([DATA], PARTITION, "one");
    const lane = await claimLane(store);
    const fence = [
      {
        topic: DATA,
        epoch: claim!.epoch + 1,
        from: 5_000,
        to: 5_010,
        lastRecordMs: null,
      },
    ];
    moved(await store.flush(lane.batch(0, { fence }), sentNothing));
    const [next] = await store.claim([DATA], PARTITION, "one");
    assert.is(next!.nextOffset, 5_010);
  });

  test("the same flush again is answered with already, and stores nothing twice", async ({
    store,
    rows,
  }) => {
    const { dev, temp } = await knownSensor(store);
    const lane = await claimLane(store);
    const batch = lane.batch(1, {
      changes: [change(dev, { rows: [row(temp, NOW_US, 1)] })],
    });
    moved(await store.flush(batch, sentNothing));
    let called = false;
    const again = await store.flush(batch, async () => {
      called = true;
    });
    assert.equal(again, { fence: "already" });
    assert.not(called);
    assert.is((await rows()).length, 1);
  });

  test("a flush of an earlier claim is lost and stores nothing", async ({
    store,
    rows,
  }) => {
    const { dev, temp } = await knownSensor(store);
    const zombie = await claimLane(store, "one");
    const owner = await claimLane(store, "two");
    const changes = [change(dev, { rows: [row(temp, NOW_US, 1)] })];
    assert.equal(await zombie.flush(1, { changes }), { fence: "lost" });
    assert.is((await rows()).length, 0);
    assert.is(moved(await owner.flush(1, { changes })).stored, 1);
  });

  test("a flush from another offset than the stored one is elsewhere", async ({
    store,
  }) => {
    const lane = await claimLane(store);
    moved(await lane.flush(10));
    const batch = lane.batch(5);
    const fence = batch.fence.map((move) =>
      move.topic === DATA ? { ...move, from: 3, to: 8 } : move,
    );
    assert.equal(await store.flush({ ...batch, fence }, sentNothing), {
      fence: "elsewhere",
    });
  });

  test("a claim waits for a flush in progress and then stands behind it", async ({
    store,
  }) => {
    const lane = await claimLane(store);
    let claimed = false;
    let claiming: Promise<unknown> | undefined;
    moved(
      await lane.flush(4, {}, async () => {
        claiming = store
          .claim([COMMANDS, DATA], PARTITION, "two")
          .then((claims) => {
            claimed = true;
            assert.is(claims[1]!.nextOffset, 4);
          });
        await store.ping();
        assert.not(claimed);
      }),
    );
    await claiming;
    assert.ok(claimed);
  });
}
