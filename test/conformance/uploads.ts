/** What every UploadStore must do, whether it is the database or the double that tests of the worker use in its place. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { findSensor } from "../../src/domain/sensors.js";
import type { DeviceRef, Sensor } from "../../src/domain/device.js";
import type { DeadLetter, LogRecord } from "../../src/domain/message.js";
import { TOPIC } from "../../src/domain/names.js";
import type { EquipmentResult, UploadStore } from "../../src/ports.js";

/** A store that holds nothing yet, and looks into it that do not go through the port. */
export interface UploadsRig {
  readonly store: UploadStore;
  /** Makes a claim as the gateway leaves it: `stored`, its claim check on the log. */
  add(claimId: string): Promise<void>;
  /** Every reading as `device point microseconds value`, sorted. */
  rows(): Promise<string[]>;
  /** Reasons of all dead letters, sorted. */
  letters(): Promise<string[]>;
}
export interface UploadsSource {
  use(work: (rig: UploadsRig) => Promise<void>): Promise<void>;
  /** After the last test. */
  close(): Promise<void>;
}

/** In the order in which they were received. */
const [A, B, GHOST] = ["A", "B", "G"].map((letter) =>
  letter.padStart(26, "0"),
) as [string, string, string];
const AT_US = Date.parse("2026-01-10T10:00:00Z") * 1000;
const OPTIONS = { clusterId: "test", expectDuplicates: false };
const RECORD: LogRecord = {
  topic: TOPIC.uploads,
  partition: 0,
  offset: 7,
  key: null,
  value: null,
  headers: {},
  timestampMs: 0,
};

const deviceRef = (deviceId: string): DeviceRef => ({
  address: deviceId,
  tenant: "default",
  deviceId,
  site: null,
  equipmentId: 0,
});
const sensorOf = (
  device: DeviceRef,
  name: string,
  typeClass: Sensor["typeClass"] = "num",
): Sensor => ({ device, name, typeClass, type: "t", unit: null, id: 0 });

/** An equipment of one sensor with these values a second apart, and so many readings that could not be taken. */
async function equipment(
  store: UploadStore,
  claimId: string,
  ordinal: number,
  values: readonly number[],
  { deviceId = "dev-1", faults = 0 } = {},
): Promise<EquipmentResult> {
  const device = deviceRef(deviceId);
  const sensor = sensorOf(device, "p");
  await store.register(0, [device], [sensor]);
  return {
    claimId,
    ordinal,
    device,
    name: null,
    rows: values.map((value, i) => ({
      sensor,
      timeUs: AT_US + i * 1_000_000,
      value,
      text: null,
      source: RECORD,
      item: i,
      ordinal,
    })),
    errors: Array.from({ length: faults }, (_, i) => ({
      path: `$[${ordinal}].sensor[${values.length + i}].valor`,
      reason: "expected a number",
      deadLetterReason: "bulk_invalid" as const,
      payload: Buffer.from("null"),
      tenant: "default",
      deviceId,
    })),
  };
}
/** An equipment that could not be read at all. */
const unreadable = (claimId: string, ordinal: number): EquipmentResult => ({
  claimId,
  ordinal,
  device: null,
  name: null,
  rows: [],
  errors: [
    {
      path: `$[${ordinal}]`,
      reason: "expected an object",
      deadLetterReason: "bulk_invalid",
      payload: Buffer.from("7"),
      tenant: "default",
      deviceId: null,
    },
  ],
});
const letterAt = (offset: number): DeadLetter => ({
  source: { ...RECORD, offset },
  reason: "bulk_invalid",
  detail: "its gzip is broken",
  tenant: "default",
  deviceId: null,
  topic: TOPIC.uploads,
  payload: Buffer.from("{}"),
  item: 0,
  attempts: 1,
});
const at = (claimId: string, offset = 1) => ({ claimId, partition: 0, offset });
const seconds = (...values: readonly number[]): string[] =>
  values.map((value, i) => `dev-1 p ${AT_US + i * 1_000_000} ${value}`);
const failing = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "no error",
    (error: Error) => error.message,
  );

export function uploadsConformance(name: string, source: UploadsSource): void {
  const tests = suite(`upload store: ${name}`);
  const test = (sentence: string, work: (rig: UploadsRig) => Promise<void>) =>
    tests(sentence, () => source.use(work));

  test("taking a claim makes it processing, again as often as one likes; one unknown is absent", async ({
    store,
    add,
  }) => {
    await add(A);
    for (const offset of [1, 2]) {
      const taken = await store.take([at(A, offset), at(GHOST)]);
      assert.equal([...taken.keys()], [A]);
      const { state, nextEquipment, announced, readings } = taken.get(A)!;
      assert.equal([state, nextEquipment, announced], ["processing", 0, true]);
      assert.equal(readings, { stored: 0, duplicate: 0, failed: 0 });
    }
    assert.is((await store.find(A))?.state, "processing");
    assert.is(await store.find(GHOST), null);
  });

  test("rows, progress, faults and the end are one step", async ({
    store,
    add,
    rows,
    letters,
  }) => {
    await add(A);
    await store.take([at(A)]);
    const outcome = await store.store(
      [
        await equipment(store, A, 0, [1, 2], { faults: 1 }),
        unreadable(A, 1),
        await equipment(store, A, 2, [3], { deviceId: "dev-2" }),
      ],
      [{ claimId: A, equipments: 3 }],
      OPTIONS,
    );
    assert.equal(
      { ...outcome, letters: [...outcome.letters] },
      {
        stored: 3,
        duplicates: 0,
        failed: 1,
        letters: [["bulk_invalid", 2]],
        done: [A],
      },
    );
    assert.equal(await rows(), [...seconds(1, 2), `dev-2 p ${AT_US} 3`]);
    assert.equal(await letters(), ["bulk_invalid", "bulk_invalid"]);
    const claim = (await store.find(A))!;
    assert.is(claim.state, "done");
    assert.is(claim.nextEquipment, 3);
    assert.equal(claim.equipments, { total: 3, stored: 2, failed: 1 });
    assert.equal(claim.readings, { stored: 3, duplicate: 0, failed: 1 });
    assert.equal(claim.errors, [
      { path: "$[0].sensor[2].valor", reason: "expected a number" },
      { path: "$[1]", reason: "expected an object" },
    ]);
    assert.type(claim.finishedMs, "number");
  });

  test("only the next equipment in turn counts, and once", async ({
    store,
    add,
    rows,
  }) => {
    await add(A);
    await store.take([at(A)]);
    const first = await equipment(store, A, 0, [1]);
    const later = await equipment(store, A, 2, [9], { deviceId: "dev-9" });
    for (const results of [[first], [first], [later]])
      await store.store(results, [{ claimId: A, equipments: 2 }], OPTIONS);
    const claim = (await store.find(A))!;
    assert.equal(
      [claim.state, claim.nextEquipment, claim.finishedMs],
      ["processing", 1, null],
    );
    assert.equal(claim.equipments, { total: null, stored: 1, failed: 0 });
    assert.equal(await rows(), seconds(1));
  });

  test("a reading that is there is a duplicate, another value in its place a conflict; the first stays", async ({
    store,
    add,
    rows,
    letters,
  }) => {
    for (const id of [A, B]) await add(id);
    await store.take([at(A), at(B, 2)]);
    await store.store([await equipment(store, A, 0, [1, 2])], [], OPTIONS);
    const outcome = await store.store(
      [await equipment(store, B, 0, [1, 5, 3])],
      [{ claimId: B, equipments: 1 }],
      OPTIONS,
    );
    assert.equal(
      [outcome.stored, outcome.duplicates, outcome.failed],
      [1, 1, 1],
    );
    assert.equal([...outcome.letters], [["conflict", 1]]);
    assert.equal(await rows(), seconds(1, 2, 3));
    assert.equal(await letters(), ["conflict"]);
    const claim = (await store.find(B))!;
    assert.equal(claim.readings, { stored: 1, duplicate: 1, failed: 1 });
    assert.equal(
      claim.errors.map(({ path }) => path),
      ["$[0].sensor[1]"],
    );
  });

  test("a claim that is done stays as it is, and says so again", async ({
    store,
    add,
    rows,
  }) => {
    await add(A);
    await store.take([at(A)]);
    const finished = [{ claimId: A, equipments: 0 }];
    assert.equal((await store.store([], finished, OPTIONS)).done, [A]);
    const late = await equipment(store, A, 0, [1]);
    const again = await store.store([late], finished, OPTIONS);
    assert.equal([again.stored, again.done], [0, [A]]);
    assert.equal(await rows(), []);
    assert.is((await store.take([at(A, 9)])).get(A)?.state, "done");
  });

  test("rejecting ends a claim once, with its letter", async ({
    store,
    add,
    letters,
  }) => {
    await add(A);
    let sent = 0;
    const options = {
      clusterId: "test",
      beforeCommit: async () => {
        sent += 1;
      },
    };
    assert.is(await store.reject(letterAt(1), A, options), true);
    assert.is(await store.reject(letterAt(1), A, options), false);
    assert.is(await store.reject(letterAt(2), GHOST, options), false);
    assert.is(sent, 1);
    const claim = (await store.find(A))!;
    assert.is(claim.state, "rejected");
    assert.type(claim.finishedMs, "number");
    assert.equal(claim.errors, [{ path: "$", reason: "its gzip is broken" }]);
    const { done } = await store.store(
      [],
      [{ claimId: A, equipments: 0 }],
      OPTIONS,
    );
    assert.equal(done, []);
    assert.is(await store.reject(letterAt(3), null, options), true);
    assert.equal(await letters(), ["bulk_invalid", "bulk_invalid"]);
  });

  test("a letter that the log does not take rejects nothing", async ({
    store,
    add,
    letters,
  }) => {
    await add(A);
    await store.take([at(A)]);
    const rejected = store.reject(letterAt(1), A, {
      clusterId: "test",
      beforeCommit: () => Promise.reject(new Error("the log is away")),
    });
    assert.match(await failing(rejected), "the log is away");
    assert.is((await store.find(A))?.state, "processing");
    assert.equal(await letters(), []);
  });

  test("an ended claim begins anew, an open one does not, and its rows stay unique", async ({
    store,
    add,
    rows,
  }) => {
    await add(A);
    await store.take([at(A)]);
    assert.is(await store.reopen(A), null);
    assert.is(await store.reopen(GHOST), null);
    const finished = [{ claimId: A, equipments: 1 }];
    const one = await equipment(store, A, 0, [1], { faults: 1 });
    await store.store([one], finished, OPTIONS);
    const again = (await store.reopen(A))!;
    assert.equal(
      [again.state, again.announced, again.nextEquipment, again.finishedMs],
      ["stored", false, 0, null],
    );
    assert.equal(again.equipments, { total: null, stored: 0, failed: 0 });
    assert.equal(again.errors, []);
    await store.take([at(A, 5)]);
    await store.store([one], finished, OPTIONS);
    const claim = (await store.find(A))!;
    assert.equal(claim.readings, { stored: 0, duplicate: 1, failed: 1 });
    assert.equal(await rows(), seconds(1));
  });

  test("claims are listed newest first, by tenant and by state", async ({
    store,
    add,
  }) => {
    for (const id of [A, B]) await add(id);
    await store.take([at(B)]);
    const ids = async (
      tenant: string | null,
      state: "stored" | null,
      limit = 9,
    ) =>
      (await store.list({ tenant, state, limit })).map(
        ({ claimId }) => claimId,
      );
    assert.equal(await ids(null, null), [B, A]);
    assert.equal(await ids("default", null, 1), [B]);
    assert.equal(await ids("acme", null), []);
    assert.equal(await ids(null, "stored"), [A]);
  });

  test("what is registered is known when it wakes, under one id each", async ({
    store,
  }) => {
    const device = deviceRef("dev-1");
    const given = [
      sensorOf(device, "p"),
      sensorOf(device, "p", "text"),
      sensorOf(device, "q"),
    ];
    await store.register(0, [device], given);
    assert.ok(device.equipmentId > 0);
    assert.is(new Set(given.map(({ id }) => id)).size, 3);
    const again = deviceRef("dev-1");
    const same = sensorOf(again, "p", "text");
    await store.register(0, [again], [same]);
    assert.equal(
      [again.equipmentId, same.id],
      [device.equipmentId, given[1]!.id],
    );
    const woken = await store.wake([deviceRef("dev-1"), deviceRef("ghost")]);
    assert.equal([...woken.keys()], ["dev-1"]);
    const { state } = woken.get("dev-1")!;
    assert.is(state.device.equipmentId, device.equipmentId);
    assert.is(findSensor(state.sensors, "num", "q")?.id, given[2]!.id);
  });

  tests("what these tests ran on is put away", () => source.close());
  tests.run();
}
