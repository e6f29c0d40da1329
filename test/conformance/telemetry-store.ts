/** What every TelemetryStore must do, whether it is the database or the double that other tests use in its place. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { TypeClass } from "../../src/domain/message.js";
import type { CommandState, TelemetryStore } from "../../src/ports.js";
import { commandTests } from "./telemetry-store-commands.js";
import {
  change,
  claimLane,
  COMMANDS,
  DATA,
  device,
  event,
  letter,
  moved,
  NOW_US,
  PARTITION,
  row,
  sensor,
  sentNothing,
} from "./telemetry-store-batches.js";

/** A store that nobody else uses, and a look into it that does not go through the port. */
export interface StoreRig {
  readonly store: TelemetryStore;
  /** In order of (device, sensor, time). */
  rows(): Promise<SeenRow[]>;
  /** In order of (offset, item). */
  letters(): Promise<SeenLetter[]>;
  commands(): Promise<Map<string, SeenCommand>>;
  /** By command id. */
  acks(): Promise<Map<string, SeenAck>>;
  /** Payloads. */
  events(): Promise<string[]>;
  /** From now on the sensor `refused` takes no value above 100. */
  refuseAbove100(): Promise<void>;
}
export interface SeenRow {
  readonly device: string;
  readonly name: string;
  readonly typeClass: TypeClass;
  readonly timeUs: number;
  readonly value: number | null;
  readonly text: string | null;
}
export interface SeenLetter {
  readonly offset: number;
  readonly item: number;
  readonly reason: string;
  readonly device: string | null;
  readonly payload: string;
}
export interface SeenCommand {
  readonly state: CommandState;
  readonly ok: boolean | null;
  readonly err: string | null;
  /** The states it went through. */
  readonly history: string[];
}
export interface SeenAck {
  readonly device: string;
  readonly ok: boolean;
  readonly execUs: number;
  readonly late: boolean;
  readonly known: boolean;
}
export interface StoreSource {
  /** Runs a test on a store that holds nothing yet. */
  use(work: (rig: StoreRig) => Promise<void>): Promise<void>;
  /** After the last test. */
  close(): Promise<void>;
}

/** `skip` says why these tests cannot run here. */
export function telemetryStoreConformance(
  name: string,
  source: StoreSource,
  skip: string | null = null,
): void {
  const tests = suite(`telemetry store: ${name}`);
  const test = (sentence: string, work: (rig: StoreRig) => Promise<void>) => {
    if (skip === null) tests(sentence, () => source.use(work));
    else tests.skip(sentence);
  };
  if (skip !== null) console.log(`skipped: telemetry store: ${name}: ${skip}`);

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
    const dev = device("dev-1");
    const temp = sensor(dev, "temp");
    await store.register(PARTITION, [dev], [temp]);
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
    const dev = device("dev-1");
    const temp = sensor(dev, "temp");
    await store.register(PARTITION, [dev], [temp]);
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
      row(temp, NOW_US + 2, 9_007_199_254_740_993),
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
        ["dev-1", "temp", "num", 2, 9_007_199_254_740_992, null],
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
    const dev = device("dev-1");
    const temp = sensor(dev, "temp");
    await store.register(PARTITION, [dev], [temp]);
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
    const dev = device("dev-1");
    const temp = sensor(dev, "temp");
    await store.register(PARTITION, [dev], [temp]);
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

  test("events are unique by device, time and hash", async ({
    store,
    events,
  }) => {
    const [one, two] = [device("dev-1"), device("dev-2")];
    await store.register(PARTITION, [one, two], []);
    const lane = await claimLane(store);
    const changes = [
      change(one, {
        events: [
          event(one),
          event(one),
          event(one, { hash: "f".repeat(64), payload: '"other"' }),
        ],
      }),
      change(two, { events: [event(two)] }),
    ];
    await lane.flush(4, { changes });
    await lane.flush(4, { changes });
    assert.equal((await events()).sort(), [
      '"other"',
      '{"event":"start"}',
      '{"event":"start"}',
    ]);
  });

  test("registering gives ids once; the same name in another type class, device or tenant is another sensor", async ({
    store,
  }) => {
    const [here, there] = [device("dev-1"), device("dev-1", "acme")];
    const sensors = [
      sensor(here, "a"),
      sensor(here, "a", "text"),
      sensor(there, "a"),
      sensor(here, "b"),
    ];
    await store.register(PARTITION, [here, there], sensors);
    const ids = sensors.map(({ id }) => id);
    assert.is(new Set(ids).size, 4);
    assert.ok(
      ids.every((id) => id > 0) &&
        here.equipmentId > 0 &&
        here.equipmentId !== there.equipmentId,
    );
    const again = [device("dev-1"), device("dev-1", "acme")] as const;
    const same = [
      sensor(again[0], "a"),
      sensor(again[0], "a", "text"),
      sensor(again[1], "a"),
      sensor(again[0], "b"),
    ];
    await store.register(PARTITION, again, same);
    assert.equal(
      same.map(({ id }) => id),
      ids,
    );
    assert.equal(
      again.map((ref) => ref.equipmentId),
      [here.equipmentId, there.equipmentId],
    );
  });

  test("a device wakes with what was stored of it, and one never seen is absent", async ({
    store,
  }) => {
    const [one, bare, unknown] = [
      device("dev-1", "acme"),
      device("dev-2"),
      device("dev-3"),
    ];
    const temp = sensor(one, "temp", "num", "°C");
    await store.register(
      PARTITION,
      [one, bare],
      [temp, sensor(one, "mode", "text")],
    );
    const lane = await claimLane(store);
    await lane.flush(1, {
      changes: [
        change(one, {
          untimed: ["bridge-1:7:abc", "ü\0"],
          quarantinedUntilMs: 1_763_600_000_001,
        }),
      ],
      presence: [{ device: one, seenUs: NOW_US, online: true, cause: null }],
    });
    const asked = [device("dev-1", "acme"), device("dev-2"), unknown];
    const woken = await store.wake(asked);
    assert.equal([...woken.keys()].sort(), ["acme/dev-1", "dev-2"]);
    const { state, lastSeenUs, online } = woken.get("acme/dev-1")!;
    assert.equal(
      [lastSeenUs, online, state.untimed, state.quarantinedUntilMs, state.last],
      [NOW_US, true, ["bridge-1:7:abc", "ü\0"], 1_763_600_000_001, null],
    );
    assert.is(state.device.equipmentId, one.equipmentId);
    const woke = state.sensors.get("num")!.get("temp")!;
    assert.equal(
      [woke.id, woke.type, woke.unit, woke.device.address],
      [temp.id, "float", "°C", "acme/dev-1"],
    );
    assert.is(state.sensors.get("text")!.size, 1);
    assert.equal(
      [woken.get("dev-2")!.state.sensors.size, woken.get("dev-2")!.lastSeenUs],
      [0, 0],
    );
    assert.is(unknown.equipmentId, 0);

    await lane.flush(1, {
      changes: [change(one, { untimed: [], quarantinedUntilMs: 0 })],
    });
    const later = (await store.wake([device("dev-1", "acme")])).get(
      "acme/dev-1",
    )!;
    assert.equal(
      [later.state.untimed, later.state.quarantinedUntilMs],
      [[], 0],
    );
  });

  test("presence never goes back in time, and says who is online in a partition", async ({
    store,
  }) => {
    const [one, two] = [device("dev-1"), device("dev-2")];
    await store.register(PARTITION, [one, two], []);
    const lane = await claimLane(store);
    const seen = (of: typeof one, seenUs: number, online: boolean) => ({
      device: of,
      seenUs,
      online,
      cause: online ? null : "last will",
    });
    await lane.flush(1, {
      presence: [seen(one, NOW_US, true), seen(two, NOW_US, true)],
    });
    await lane.flush(1, {
      presence: [seen(one, NOW_US - 5, true), seen(two, NOW_US + 5, false)],
    });
    const online = await store.onlineDevices(PARTITION);
    assert.equal(
      online.map(({ device: { address }, lastSeenUs }) => [
        address,
        lastSeenUs,
      ]),
      [["dev-1", NOW_US]],
    );
    assert.equal(await store.onlineDevices(PARTITION + 1), []);
  });

  test("the newest values of a device make its last state", async ({
    store,
  }) => {
    const [dev, empty] = [device("dev-1"), device("dev-2")];
    const [temp, on, mode] = [
      sensor(dev, "temp", "num", "°C"),
      sensor(dev, "on", "bool"),
      sensor(dev, "mode", "text"),
    ];
    await store.register(PARTITION, [dev, empty], [temp, on, mode]);
    const lane = await claimLane(store);
    await lane.flush(1, {
      changes: [
        change(dev, {
          rows: [
            row(temp, NOW_US + 1, 7.3),
            row(temp, NOW_US, 99),
            row(on, NOW_US, 1),
            row(mode, NOW_US - 86_400_000_000, "RUN"),
          ],
        }),
      ],
    });
    const found = await store.newest([dev, empty, device("dev-3")]);
    assert.equal([...found.keys()], ["dev-1"]);
    const last = found.get("dev-1")!;
    assert.equal([last.timeUs, last.offset], [NOW_US + 1, -1]);
    const { schema, points } = JSON.parse(last.payload) as {
      schema: string;
      points: { name: string }[];
    };
    assert.is(schema, "v1");
    assert.equal(
      points.sort((a, b) => (a.name < b.name ? -1 : 1)),
      [
        { name: "mode", t: "enum", v: "RUN" },
        { name: "on", t: "bool", v: true },
        { name: "temp", t: "float", v: 7.3, u: "°C" },
      ],
    );
  });

  test("the default tenant is there from the start; gaps and maintenance are taken", async ({
    store,
  }) => {
    assert.ok((await store.tenants()).has("default"));
    await store.noteGap(DATA, PARTITION, 0, 100);
    await store.noteGap(DATA, PARTITION, 0, 100);
    await store.maintain();
    await store.ping();
  });

  commandTests(test);
  if (skip === null)
    tests("what these tests ran on is put away", () => source.close());
  tests.run();
}
