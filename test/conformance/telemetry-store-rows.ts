/** Rows, as every TelemetryStore must keep them. */
import * as assert from "uvu/assert";
import type { StoreTest } from "./telemetry-store.js";
import {
  change,
  claimLane,
  device,
  knownSensor,
  letter,
  moved,
  NOW_US,
  PARTITION,
  row,
  sensor,
} from "./telemetry-store-batches.js";

export function rowTests(test: StoreTest): void {
  test("values come back as they were: numbers, booleans, texts, microseconds", async ({
    store,
    rows,
  }) => {
    const dev = device("dev-1");
    const [temp, on, mode] = [
      sensor(dev, "temp", "num", "°C"),
      sensor(dev, "on", "bool"),
      sensor(dev, "mode", "text"),
    ];
    await store.register(PARTITION, [dev], [temp, on, mode]);
    const lane = await claimLane(store);
    const given = [
      row(temp, NOW_US, 0.1 + 0.2),
      row(temp, NOW_US + 1, -1e-300),
      row(temp, NOW_US + 2, 2 ** 53 + 2),
      row(on, NOW_US, 1),
      row(mode, NOW_US, "RÚN 🚰\t\\N\n"),
      row(mode, NOW_US + 1, ""),
    ];
    assert.is(
      moved(await lane.flush(1, { changes: [change(dev, { rows: given })] }))
        .stored,
      6,
    );
    assert.equal(
      (await rows()).map((r) => [
        r.device,
        r.name,
        r.typeClass,
        r.timeUs - NOW_US,
        r.value,
        r.text,
      ]),
      [
        ["dev-1", "mode", "text", 0, null, "RÚN 🚰\t\\N\n"],
        ["dev-1", "mode", "text", 1, null, ""],
        ["dev-1", "on", "bool", 0, 1, null],
        ["dev-1", "temp", "num", 0, 0.1 + 0.2, null],
        ["dev-1", "temp", "num", 1, -1e-300, null],
        ["dev-1", "temp", "num", 2, 2 ** 53 + 2, null],
      ],
    );
  });

  test("the first value of an instant wins, a later equal one is a duplicate, another one a conflict with its dead letter", async ({
    store,
    rows,
    letters,
  }) => {
    const dev = device("dev-1");
    const [temp, mode] = [sensor(dev, "temp"), sensor(dev, "mode", "text")];
    await store.register(PARTITION, [dev], [temp, mode]);
    const lane = await claimLane(store);
    const within = moved(
      await lane.flush(3, {
        changes: [
          change(dev, {
            rows: [
              row(temp, NOW_US, 1, 0),
              row(mode, NOW_US, "RUN", 0, 1),
              row(temp, NOW_US, 1, 1),
              row(temp, NOW_US, 2, 2),
              row(mode, NOW_US, "STOP", 2, 1),
            ],
          }),
        ],
      }),
    );
    assert.equal(
      [
        within.stored,
        within.duplicates,
        within.conflicts,
        within.sawDuplicates,
      ],
      [2, 1, 2, true],
    );
    const across = moved(
      await lane.flush(2, {
        expectDuplicates: true,
        changes: [
          change(dev, {
            rows: [row(temp, NOW_US, 3, 3), row(temp, NOW_US + 1, 4, 4)],
          }),
        ],
      }),
    );
    assert.equal(
      [across.stored, across.duplicates, across.conflicts],
      [1, 0, 1],
    );
    assert.equal(
      (await rows()).map((r) => r.text ?? r.value),
      ["RUN", 1, 4],
    );
    assert.equal(
      (await letters()).map((l) => [
        l.offset,
        l.item,
        l.reason,
        l.device,
        (JSON.parse(l.payload) as { v: unknown }).v,
      ]),
      [
        [2, 0, "conflict", "dev-1", 2],
        [2, 1, "conflict", "dev-1", "STOP"],
        [3, 0, "conflict", "dev-1", 3],
      ],
    );
  });

  test("a quiet flush says that it saw no duplicates, whichever way it was asked to go", async ({
    store,
  }) => {
    const { dev, temp } = await knownSensor(store);
    const lane = await claimLane(store);
    const result = moved(
      await lane.flush(1, {
        expectDuplicates: true,
        changes: [change(dev, { rows: [row(temp, NOW_US, 1)] })],
      }),
    );
    assert.equal([result.stored, result.sawDuplicates], [1, false]);
  });

  test("a refused row is told before the commit and kept as a dead letter, and its neighbours are stored", async (rig) => {
    const { store } = rig;
    const dev = device("dev-1");
    const refused = sensor(dev, "refused");
    await store.register(PARTITION, [dev], [refused]);
    await rig.refuseAbove100();
    const lane = await claimLane(store);
    const rows = Array.from({ length: 9 }, (_, i) =>
      row(refused, NOW_US + i, i === 2 || i === 7 ? 200 + i : i, i),
    );
    const told: number[] = [];
    const result = moved(
      await lane.flush(
        9,
        { changes: [change(dev, { rows })] },
        async (those) => {
          told.push(...those.map(({ row: { value } }) => value!));
        },
      ),
    );
    assert.equal([result.stored, result.refused, result.conflicts], [7, 2, 0]);
    assert.equal(told, [202, 207]);
    assert.equal(
      (await rig.rows()).map((r) => r.value),
      [0, 1, 3, 4, 5, 6, 8],
    );
    assert.equal(
      (await rig.letters()).map((l) => [l.offset, l.reason]),
      [
        [2, "row_refused"],
        [7, "row_refused"],
      ],
    );
  });

  test("nothing of a flush stands when the dead letters could not be put on the log", async ({
    store,
    rows,
    letters,
  }) => {
    const { dev, temp } = await knownSensor(store);
    const lane = await claimLane(store);
    const over = {
      changes: [change(dev, { rows: [row(temp, NOW_US, 1)] })],
      deadLetters: [letter(0)],
    };
    try {
      await lane.flush(1, over, async () => {
        throw new Error("the log is away");
      });
      assert.unreachable("the flush should have failed");
    } catch (error) {
      assert.match((error as Error).message, "the log is away");
    }
    assert.equal([(await rows()).length, (await letters()).length], [0, 0]);
    assert.is(moved(await lane.flush(1, over)).stored, 1);
    assert.equal([(await rows()).length, (await letters()).length], [1, 1]);
  });
}
