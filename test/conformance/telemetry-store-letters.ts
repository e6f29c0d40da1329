/** Dead letters and what their replays come to, as every TelemetryStore must keep them. */
import * as assert from "uvu/assert";
import type { StoreTest } from "./telemetry-store.js";
import {
  change,
  claimLane,
  DATA,
  device,
  knownSensor,
  letter,
  NOW_US,
  PARTITION,
  row,
} from "./telemetry-store-batches.js";

const at = (offset: number) => ({
  topic: DATA,
  partition: PARTITION,
  offset,
});

export function letterTests(test: StoreTest): void {
  test("dead letters are kept once a place, of messages and of devices alike", async ({
    store,
    letters,
  }) => {
    const dev = device("dev-1");
    await store.register(PARTITION, [dev], []);
    const lane = await claimLane(store);
    const nul = letter(1, {
      detail: "a \0 in it",
      tenant: null,
      deviceId: null,
      topic: "a\0b",
      payload: Buffer.from([0, 255]),
    });
    const changes = [
      change(dev, {
        deadLetters: [
          letter(2, { item: 3 }),
          letter(2, { item: 4, reason: "conflict" }),
        ],
      }),
    ];
    await lane.flush(3, { deadLetters: [letter(0), nul], changes });
    await lane.flush(3, {
      deadLetters: [letter(0, { reason: "invalid_schema" })],
      changes,
    });
    assert.equal(
      (await letters()).map((l) => [l.offset, l.item, l.reason, l.device]),
      [
        [0, -1, "parse_error", "dev-1"],
        [1, -1, "parse_error", null],
        [2, 3, "parse_error", "dev-1"],
        [2, 4, "conflict", "dev-1"],
      ],
    );
  });

  test("a replay that takes effect settles its letters; one that fails again leaves them with the new reason", async ({
    store,
    letters,
  }) => {
    const dev = device("dev-1");
    await store.register(PARTITION, [dev], []);
    const lane = await claimLane(store);
    const points = [letter(2, { item: 0 }), letter(2, { item: 1 })];
    const conflict = letter(2, { item: 2, reason: "conflict" });
    await lane.flush(5, {
      deadLetters: [letter(0), letter(1), ...points, conflict, letter(3)],
    });
    const seen = async () =>
      (await letters()).map((l) =>
        [l.offset, l.item, l.reason, l.attempts, l.replayed].join(" "),
      );
    // 0 is stored; 1 fails as a whole; of 2 the second point is refused again; nobody replays 3.
    await lane.flush(3, {
      replays: [at(0), at(1), at(2)],
      deadLetters: [letter(1, { reason: "quarantined" })],
      changes: [
        change(dev, {
          deadLetters: [letter(2, { item: 1, reason: "row_refused" })],
        }),
      ],
    });
    const once = [
      "0 -1 parse_error 1 true",
      "1 -1 quarantined 2 false",
      "2 0 parse_error 1 true",
      "2 1 row_refused 2 false",
      "2 2 conflict 1 false",
      "3 -1 parse_error 1 false",
    ];
    assert.equal(await seen(), once);

    // On its way twice: what is settled stays so, even where the second one fails.
    await lane.flush(2, {
      replays: [at(0), at(1)],
      deadLetters: [letter(0, { reason: "actor_crash" })],
    });
    assert.equal(await seen(), [
      once[0],
      "1 -1 quarantined 2 true",
      ...once.slice(2),
    ]);

    // All points of a message wait again where the message fails as a whole.
    await lane.flush(1, {
      replays: [at(2)],
      deadLetters: [letter(2, { reason: "quarantined" })],
    });
    assert.equal((await seen()).slice(2, 6), [
      "2 -1 quarantined 1 false",
      "2 0 parse_error 1 true",
      "2 1 row_refused 2 false",
      "2 2 conflict 1 false",
    ]);
  });

  test("a flush that did not take effect settles no letter", async ({
    store,
    letters,
  }) => {
    const { dev, temp } = await knownSensor(store);
    const lane = await claimLane(store);
    await lane.flush(1, { deadLetters: [letter(0)] });
    const replay = {
      replays: [at(0)],
      changes: [change(dev, { rows: [row(temp, NOW_US, 1)] })],
    };
    try {
      await lane.flush(1, replay, async () => {
        throw new Error("the log is away");
      });
      assert.unreachable("it took effect");
    } catch (error) {
      assert.match(String(error), "the log is away");
    }
    assert.equal(
      (await letters()).map(({ replayed }) => replayed),
      [false],
    );
    await lane.flush(1, replay);
    assert.equal(
      (await letters()).map(({ replayed }) => replayed),
      [true],
    );
  });
}
