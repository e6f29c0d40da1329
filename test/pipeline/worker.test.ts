/** The worker on doubles: what is taken, retried, given up alone and told to the group. */
import { ulid } from "ulid";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createJudge } from "../../src/domain/judge.js";
import { TOPIC } from "../../src/domain/names.js";
import { createClaimHandler } from "../../src/pipeline/upload-claims.js";
import { createIngest } from "../../src/pipeline/upload-ingest.js";
import { createUploadOffsets } from "../../src/pipeline/upload-offsets.js";
import { createSlots } from "../../src/pipeline/upload-slots.js";
import { createWorker } from "../../src/pipeline/worker.js";
import { createMemoryLog, type MemoryLog } from "../support/memory-log.js";
import { createMemoryUploads, UPLOADED_MS } from "../support/memory-uploads.js";
import { until } from "../support/wait.js";

const GROUP = "workers";
const HOUR_US = 3_600_000_000;

interface Rig {
  readonly log: MemoryLog;
  readonly uploads: ReturnType<typeof createMemoryUploads>;
  readonly gaveUp: string[];
  /** Starts one more worker; answers how it is stopped. */
  start(): Promise<() => Promise<void>>;
  /** Stores an upload and puts its claim check on the log. */
  upload(body: string | Buffer): Promise<string>;
  state(claimId: string): string | undefined;
  /** Until every claim has ended and the group has been told of all. */
  settled(): Promise<void>;
}

async function withRig(work: (rig: Rig) => Promise<void>): Promise<void> {
  const log = createMemoryLog({ partitions: 1 });
  const uploads = createMemoryUploads();
  const gaveUp: string[] = [];
  const observer = { emit: () => undefined };
  const stops: (() => Promise<void>)[] = [];
  const shared = {
    store: uploads.store,
    observer,
    clock: () => UPLOADED_MS,
    clusterId: "memory",
  };
  const rig: Rig = {
    log,
    uploads,
    gaveUp,
    async start() {
      const worker = createWorker({
        feed: log.feed(GROUP, [TOPIC.uploads]),
        claims: createClaimHandler({
          ...shared,
          objects: uploads.objects,
          deadLetters: log.writer,
          ingest: createIngest({
            ...shared,
            log: log.writer,
            partitions: 1,
            historyMs: 5 * 3_600_000,
          }),
          judge: createJudge({
            tenants: new Set(),
            futureUs: 24 * HOUR_US,
            earliestUs: 0,
            retentionUs: 30 * 24 * HOUR_US,
            tenantPrefix: "traksense",
            partitions: 1,
          }),
          limits: {
            uploadBytes: 1 << 30,
            maxRatio: 200,
            elementBytes: 1 << 20,
            depth: 64,
            elements: 1_000_000,
          },
          batchReadings: 1000,
          removeObjects: false,
        }),
        observer,
        clock: Date.now,
        watchdogMs: 60_000,
        giveUp: (reason) => gaveUp.push(reason),
      });
      await worker.start();
      const stop = (): Promise<void> => worker.stop(5000);
      stops.push(stop);
      return stop;
    },
    async upload(body) {
      const claimId = ulid();
      await log.writer.append(TOPIC.uploads, [uploads.add(claimId, body)]);
      return claimId;
    },
    state: (claimId) => uploads.claims.get(claimId)?.state,
    async settled() {
      const high = log.records(TOPIC.uploads, 0).length;
      await until(() => log.committed(GROUP, TOPIC.uploads, 0) === high, {
        withinMs: 20_000,
        what: `all ${high} claim checks to be committed`,
      });
    },
  };
  try {
    await work(rig);
  } finally {
    for (const stop of stops) await stop();
  }
}

const TIME = "2026-01-15T09:59:00Z";
const equipment = (uuid: string, ...valores: unknown[]): object => ({
  equip_uuid: uuid,
  sensor: valores.map((valor, i) => ({
    sensor_uuid: `s${i}`,
    sensor_tipo: "t",
    valor,
    timestamp: TIME,
  })),
});

const test = suite("worker");

test("claims that wait together are stored in few transactions", async () => {
  await withRig(async (rig) => {
    const ids: string[] = [];
    for (let n = 0; n < 100; n++)
      ids.push(await rig.upload(JSON.stringify([equipment(`d${n}`, n)])));
    await rig.start();
    await rig.settled();
    for (const id of ids) assert.is(rig.state(id), "done");
    assert.is(rig.uploads.rows.size, 100);
    assert.ok(rig.uploads.transactions < 20, String(rig.uploads.transactions));
  });
});

test("bulk notes are on the log before a claim is done", async () => {
  await withRig(async (rig) => {
    const id = await rig.upload(JSON.stringify([equipment("d", 1, true, "x")]));
    rig.log.failAppend(2);
    await rig.start();
    await rig.settled();
    assert.is(rig.state(id), "done");
    const notes = rig.log.records(TOPIC.data, 0);
    assert.is(notes.length, 1);
    const note = JSON.parse(notes[0]!.value!.toString()) as {
      kind: string;
      payload: { claim_id: string; points: { t: string; v: unknown }[] };
    };
    assert.is(note.kind, "bulk");
    assert.is(note.payload.claim_id, id);
    assert.equal(
      note.payload.points.map(({ t, v }) => [t, v]),
      [
        ["num", 1],
        ["bool", true],
        ["text", "x"],
      ],
    );
  });
});

test("while a store is away nothing is skipped", async () => {
  await withRig(async (rig) => {
    rig.uploads.fail({ call: "take", code: "STORE_UNREACHABLE", times: 2 });
    rig.uploads.fail({ call: "get", code: "OBJECTS_UNREACHABLE", times: 2 });
    rig.uploads.fail({ call: "store", code: "STORE_UNREACHABLE", times: 2 });
    const id = await rig.upload(JSON.stringify([equipment("d", 1)]));
    await rig.start();
    await rig.settled();
    assert.is(rig.state(id), "done");
    assert.equal(rig.uploads.letters, []);
    assert.equal(rig.gaveUp, []);
  });
});

test("an equipment that the database refuses harms neither its neighbours nor other claims", async () => {
  await withRig(async (rig) => {
    rig.uploads.fail({
      call: "store",
      code: "STORE_REFUSED",
      times: Infinity,
      device: "bad",
    });
    const one = await rig.upload(
      JSON.stringify([
        equipment("a", 1),
        equipment("bad", 2),
        equipment("c", 3),
      ]),
    );
    const two = await rig.upload(JSON.stringify([equipment("d", 4)]));
    await rig.start();
    await rig.settled();
    assert.is(rig.state(one), "done");
    assert.is(rig.state(two), "done");
    assert.equal(rig.uploads.claims.get(one)!.equipments, {
      total: 3,
      stored: 2,
      failed: 1,
    });
    assert.equal([...rig.uploads.rows.values()], [1, 3, 4]);
    assert.is(rig.uploads.errors[0]!.deadLetterReason, "row_refused");
  });
});

test("a poisoned claim is rejected alone, with a dead letter on the log", async () => {
  await withRig(async (rig) => {
    const good = await rig.upload(JSON.stringify([equipment("a", 1)]));
    const bad = await rig.upload("[1,");
    const check = rig.uploads.add(ulid(), "[]");
    await rig.log.writer.append(TOPIC.uploads, [
      { ...check, value: Buffer.from("{}") },
    ]);
    await rig.start();
    await rig.settled();
    assert.is(rig.state(good), "done");
    assert.is(rig.state(bad), "rejected");
    assert.equal(rig.uploads.letters.map(({ reason }) => reason).toSorted(), [
      "bulk_invalid",
      "invalid_schema",
    ]);
    assert.is(rig.log.records(TOPIC.uploadDeadLetters, 0).length, 2);
  });
});

test("a claim taken again after it has ended changes nothing", async () => {
  await withRig(async (rig) => {
    const id = await rig.upload(JSON.stringify([equipment("a", 1)]));
    await rig.start();
    await rig.settled();
    const [check] = rig.log.records(TOPIC.uploads, 0);
    const { transactions } = rig.uploads;
    await rig.log.writer.append(TOPIC.uploads, [
      { key: "default", value: check!.value },
    ]);
    await rig.settled();
    assert.is(rig.state(id), "done");
    assert.is(rig.uploads.transactions, transactions);
  });
});

test("a large upload goes on with another worker where the first left off", async () => {
  await withRig(async (rig) => {
    const many = Array.from({ length: 30_000 }, (_, n) =>
      equipment(`d${n % 100}-${n}`, n),
    );
    const id = await rig.upload(JSON.stringify(many));
    const stop = await rig.start();
    await until(() => rig.uploads.claims.get(id)!.nextEquipment > 0, {
      withinMs: 20_000,
      what: "the first equipments",
    });
    await stop();
    const at = rig.uploads.claims.get(id)!.nextEquipment;
    assert.ok(at < many.length, "it was done before it was stopped");
    await rig.start();
    await rig.settled();
    assert.is(rig.state(id), "done");
    assert.equal(rig.uploads.claims.get(id)!.readings, {
      stored: 30_000,
      duplicate: 0,
      failed: 0,
    });
  });
});

test.run();

const parts = suite("parts of the worker");

parts("the group is told only of offsets before which all are done", () => {
  const offsets = createUploadOffsets();
  for (const offset of [5, 6, 8]) assert.ok(offsets.begin(offset));
  assert.not.ok(offsets.begin(6), "in work");
  offsets.done(6);
  assert.is(offsets.next, null);
  offsets.done(5);
  assert.is(offsets.next, 7);
  assert.not.ok(offsets.begin(5), "done");
  offsets.abandon(8);
  assert.ok(offsets.begin(8));
  offsets.done(8);
  assert.is(offsets.next, 9);
});

parts("a large one waiting for slots is not overtaken for ever", async () => {
  const slots = createSlots(10);
  const order: string[] = [];
  const first = await slots.take(6);
  const large = slots.take(20).then((giveBack) => {
    order.push("large");
    giveBack();
  });
  const small = slots.take(1).then((giveBack) => {
    order.push("small");
    giveBack();
  });
  first();
  first();
  await Promise.all([large, small]);
  assert.equal(order, ["large", "small"]);
  assert.is(slots.taken, 0);
});

parts.run();
