/** What the check of the log looks up: found as it was stored, and each planted fault seen. */
import * as assert from "uvu/assert";
import type { ReadingKey } from "../../src/ports.js";
import type { StoreTest } from "./telemetry-store.js";
import {
  ack,
  change,
  claimLane,
  command,
  COMMANDS,
  DATA,
  device,
  event,
  knownSensor,
  letter,
  NOW_US,
  PARTITION,
  row,
  sensor,
} from "./telemetry-store-batches.js";

const DAY_US = 86_400_000_000;
const key = (over: Partial<ReadingKey> = {}): ReadingKey => ({
  tenant: "default",
  deviceId: "dev-1",
  name: "temp",
  typeClass: "num",
  timeUs: NOW_US,
  ...over,
});

export function ledgerTests(test: StoreTest): void {
  test("readings are found by device, name, class and microsecond, values to the last bit", async ({
    store,
    ledger,
  }) => {
    const [dev, other] = [device("dev-1"), device("dev-1", "acme")];
    const [temp, mode] = [sensor(dev, "temp"), sensor(dev, "mode", "text")];
    const theirs = sensor(other, "temp");
    await store.register(PARTITION, [dev, other], [temp, mode, theirs]);
    const lane = await claimLane(store);
    const days = [0, 1, 2, 20].map((n) => NOW_US - n * DAY_US);
    await lane.flush(1, {
      changes: [
        change(dev, {
          rows: [
            ...days.map((us, i) => row(temp, us, 0.1 + 0.2 + i)),
            row(temp, NOW_US + 1, -1e-300),
            row(mode, NOW_US, "RÚN\n"),
          ],
        }),
        change(other, { rows: [row(theirs, NOW_US, 5)] }),
      ],
    });
    const asked = [
      ...days.map((timeUs) => key({ timeUs })),
      key({ timeUs: NOW_US + 1 }),
      key({ timeUs: NOW_US + 2 }),
      key({ name: "mode", typeClass: "text" }),
      key({ name: "mode" }),
      key({ tenant: "acme" }),
      key({ deviceId: "dev-2" }),
      key(),
    ];
    const found = await ledger.readings(asked);
    assert.equal(
      found.map((one) => one && (one.text ?? one.value)),
      [
        0.1 + 0.2,
        0.1 + 0.2 + 1,
        0.1 + 0.2 + 2,
        0.1 + 0.2 + 3,
        -1e-300,
        null,
        "RÚN\n",
        null,
        5,
        null,
        0.1 + 0.2,
      ],
    );
    assert.ok(found.every((one) => one?.doubled !== true));
  });

  test("more readings than one statement takes are all found, in the order they were asked", async ({
    store,
    ledger,
  }) => {
    const { dev, temp } = await knownSensor(store);
    const lane = await claimLane(store);
    const rows = Array.from({ length: 12_000 }, (_, n) =>
      row(temp, NOW_US - n * 20_000_000, n),
    );
    await lane.flush(1, { changes: [change(dev, { rows })] });
    const found = await ledger.readings(
      rows.map(({ timeUs }) => key({ timeUs })),
    );
    assert.equal(
      found.map((one) => one?.value),
      rows.map(({ value }) => value),
    );
  });

  test("a row that is deleted, changed or doubled is seen", async ({
    store,
    ledger,
    plant,
  }) => {
    const dev = device("dev-1");
    const names = ["kept", "gone", "other", "twice"];
    const sensors = names.map((name) => sensor(dev, name));
    await store.register(PARTITION, [dev], sensors);
    const lane = await claimLane(store);
    await lane.flush(1, {
      changes: [
        change(dev, { rows: sensors.map((one) => row(one, NOW_US, 7.3)) }),
      ],
    });
    await plant.deleteRow("gone");
    await plant.changeValue("other", 7.300000000000001);
    await plant.doubleRow("twice");
    assert.equal(await ledger.readings(names.map((name) => key({ name }))), [
      { value: 7.3, text: null, doubled: false },
      null,
      { value: 7.300000000000001, text: null, doubled: false },
      { value: 7.3, text: null, doubled: true },
    ]);
  });

  test("dead letters are found by range and by place, and missed once they are removed", async ({
    store,
    ledger,
    plant,
  }) => {
    const lane = await claimLane(store);
    await lane.flush(10, {
      deadLetters: [
        letter(2),
        letter(3, { item: 1, reason: "conflict" }),
        letter(9),
      ],
    });
    const range = { topic: DATA, partition: PARTITION, from: 0, to: 9 };
    const seen = async () =>
      (await ledger.letters(range, "cluster-1"))
        .map(({ offset, item, reason }) => `${offset}/${item} ${reason}`)
        .toSorted();
    assert.equal(await seen(), ["2/-1 parse_error", "3/1 conflict"]);
    const at = (offset: number) => ({
      topic: DATA,
      partition: PARTITION,
      offset,
    });
    assert.equal(
      (await ledger.lettersAt([at(9), at(3), at(4)], "cluster-1"))
        .map(({ offset, item }) => `${offset}/${item}`)
        .toSorted(),
      ["3/1", "9/-1"],
    );
    await plant.deleteLetter(2);
    assert.equal(await seen(), ["3/1 conflict"]);
  });

  test("events, acks and commands are found, and no others", async ({
    store,
    ledger,
  }) => {
    const dev = device("dev-1");
    await store.register(PARTITION, [dev], []);
    const lane = await claimLane(store);
    await lane.flush(1, {
      changes: [
        change(dev, {
          commands: [command("c-1")],
          events: [event(dev)],
          acks: [ack(dev, "c-1")],
        }),
      ],
    });
    const { timeUs, hash } = event(dev);
    const ours = { tenant: "default", deviceId: "dev-1" };
    assert.equal(
      await ledger.events([
        { ...ours, timeUs: timeUs + 1, hash },
        { ...ours, timeUs, hash },
        { ...ours, deviceId: "dev-2", timeUs, hash },
        { ...ours, timeUs, hash: "f".repeat(64) },
      ]),
      [false, true, false, false],
    );
    assert.equal(
      await ledger.commands([
        { ...ours, cmdId: "c-1" },
        { ...ours, tenant: "acme", cmdId: "c-1" },
        { ...ours, cmdId: "c-2" },
      ]),
      [true, false, false],
    );
    const { cmdId, execUs, hash: kept } = ack(dev, "c-1");
    assert.equal(
      await ledger.acks([
        { ...ours, cmdId, execUs, hash: kept },
        { ...ours, cmdId, execUs: execUs + 1, hash: "a".repeat(64) },
        { ...ours, cmdId, execUs, hash: "a".repeat(64) },
        { ...ours, cmdId: "c-2", execUs, hash: kept },
      ]),
      [true, true, false, false],
      "an ack that should stand in place of the kept one is missed",
    );
  });

  test("where every partition stands is told, with gaps and tenants", async ({
    store,
    ledger,
  }) => {
    const lane = await claimLane(store);
    await lane.flush(5);
    await store.noteGap(DATA, PARTITION, 2, 4);
    const { offsets, gaps, tenants } = await ledger.standing(Date.now());
    assert.equal(
      offsets.map(({ topic, partition, nextOffset }) => [
        topic,
        partition,
        nextOffset,
      ]),
      [
        [COMMANDS, PARTITION, -1],
        [DATA, PARTITION, 5],
      ],
    );
    assert.is(offsets[1]!.clusterId, "cluster-1");
    assert.equal(
      [...gaps],
      [{ topic: DATA, partition: PARTITION, from: 2, to: 4 }],
    );
    assert.ok(tenants.has("default"));
  });
}
