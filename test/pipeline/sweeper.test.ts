/** What uploads left behind is finished or removed. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import { UPLOAD_MS } from "../../src/domain/claim-check.js";
import { createSweeper } from "../../src/pipeline/sweeper.js";
import type { UploadClaim } from "../../src/ports.js";
import { createMemoryDesk, newClaim } from "../support/memory-desk.js";
import { createMemoryObjects } from "../support/memory-objects.js";
import {
  createMemoryLog,
  createMemoryObserver,
} from "../support/memory-readers.js";

const sweeping = suite("sweeper of uploads");

const NOW_MS = Date.parse("2026-01-15T10:00:00Z");
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

function open() {
  const desk = createMemoryDesk();
  const objects = createMemoryObjects(() => NOW_MS);
  const log = createMemoryLog();
  const observer = createMemoryObserver();
  const time = { nowMs: NOW_MS };
  let made = 0;
  const ground = {
    desk,
    objects,
    log,
    observer,
    time,
    sweeper: createSweeper({
      desk,
      objects,
      log,
      observer,
      clock: () => time.nowMs,
      retentionDays: 7,
    }),
    /** A claim received so long ago, and its object. */
    put(ageMs: number, change: Partial<UploadClaim>): UploadClaim {
      const n = ++made;
      const claim: UploadClaim = {
        ...newClaim({
          claimId: `claim-${n}`,
          tenant: n % 2 === 0 ? "default" : "acme",
          userId: "u",
          requestId: "r",
          key: `telemetry/2026-01-01-00-00-00/${n}.json.gz`,
          storageType: "filesystem",
          idempotencyKey: null,
          receivedMs: NOW_MS - ageMs,
        }),
        ...change,
      };
      desk.claims.set(claim.claimId, claim);
      ground.putObject(claim.key, ageMs);
      return claim;
    },
    putObject(key: string, ageMs: number): void {
      const data = Buffer.from("x");
      const modifiedMs = NOW_MS - ageMs;
      objects.kept.set(key, { data, bytes: 1, metadata: {}, modifiedMs });
    },
  };
  return ground;
}

sweeping(
  "what is stored and not announced for a minute is announced",
  async () => {
    const { put, sweeper, log, desk } = open();
    const due = [1, 2].map(() => put(2 * MINUTE_MS, { state: "stored" }));
    put(MINUTE_MS / 2, { state: "stored" });
    put(2 * MINUTE_MS, { state: "stored", announced: true });
    put(2 * MINUTE_MS, { state: "done" });
    assert.is(await sweeper.sweep(), true);
    assert.equal(
      log.appended.map(({ topic, record }) => [
        topic,
        record.key,
        JSON.parse(record.value!.toString()).claim_id,
      ]),
      due.map(({ tenant, claimId }) => ["telemetry.raw", tenant, claimId]),
    );
    for (const { claimId } of due)
      assert.is(desk.claims.get(claimId)!.announced, true);
    await sweeper.sweep();
    assert.is(log.appended.length, 2);
  },
);

sweeping("with the log away a claim waits for the next sweep", async () => {
  const { put, sweeper, log, desk, observer } = open();
  const { claimId } = put(2 * MINUTE_MS, { state: "stored" });
  log.fail = new TwinstreamError("LOG_UNREACHABLE");
  await sweeper.sweep();
  assert.is(desk.claims.get(claimId)!.announced, false);
  assert.ok(observer.events.some(({ type }) => type === "failure"));
  log.fail = null;
  await sweeper.sweep();
  assert.is(desk.claims.get(claimId)!.announced, true);
});

sweeping(
  "what has been arriving for an hour is removed, row and object",
  async () => {
    const { put, sweeper, desk, objects } = open();
    const gone = put(61 * MINUTE_MS, {});
    const young = put(59 * MINUTE_MS, {});
    assert.ok(UPLOAD_MS < 59 * MINUTE_MS, "an upload may take so long");
    await sweeper.sweep();
    assert.not(desk.claims.has(gone.claimId));
    assert.not(objects.kept.has(gone.key));
    assert.ok(desk.claims.has(young.claimId));
    assert.ok(objects.kept.has(young.key));
  },
);

sweeping(
  "an upload that is completed at that moment is not removed",
  async () => {
    const { put, sweeper, desk, objects } = open();
    const claim = put(61 * MINUTE_MS, {});
    const left = desk.left.bind(desk);
    desk.left = async (...given) => {
      const found = await left(...given);
      const sizes = { fileSize: 1, originalSize: 1, sha256: "" };
      await desk.stored(claim.tenant, claim.claimId, sizes);
      return found;
    };
    await sweeper.sweep();
    assert.is(desk.claims.get(claim.claimId)!.state, "stored");
    assert.ok(objects.kept.has(claim.key));
  },
);

sweeping(
  "an object past its retention goes, unless its claim is open",
  async () => {
    const { put, putObject, sweeper, objects } = open();
    const old = 8 * DAY_MS;
    const stays = [
      put(old, { state: "stored", announced: true }),
      put(old, { state: "processing", announced: true }),
      put(6 * DAY_MS, { state: "done", announced: true }),
    ].map(({ key }) => key);
    put(old, { state: "done", announced: true });
    put(old, { state: "rejected", announced: true });
    putObject("telemetry/2026-01-01-00-00-00/nobodys.json.gz", old);
    putObject("elsewhere/x", old);
    await sweeper.sweep();
    assert.equal([...objects.kept.keys()], [...stays, "elsewhere/x"]);
  },
);

sweeping("objects past retention are looked for once an hour", async () => {
  const { putObject, sweeper, objects, time } = open();
  await sweeper.sweep();
  putObject("telemetry/2026-01-01-00-00-00/nobodys.json.gz", 8 * DAY_MS);
  await sweeper.sweep();
  assert.is(objects.kept.size, 1);
  time.nowMs += 60 * MINUTE_MS;
  await sweeper.sweep();
  assert.is(objects.kept.size, 0);
});

sweeping("parts of objects are swept once their uploads are over", async () => {
  const { sweeper, objects } = open();
  await sweeper.sweep();
  assert.equal(objects.swept, [NOW_MS - 60 * MINUTE_MS]);
});

sweeping("while another process sweeps this one does not", async () => {
  const { put, sweeper, desk, log } = open();
  put(2 * MINUTE_MS, { state: "stored" });
  desk.taken = true;
  assert.is(await sweeper.sweep(), false);
  assert.is(log.appended.length, 0);
});

sweeping("with a store away the other parts are done", async () => {
  const { put, sweeper, objects, log, observer } = open();
  put(2 * MINUTE_MS, { state: "stored" });
  objects.fail = new TwinstreamError("OBJECTS_UNREACHABLE");
  assert.is(await sweeper.sweep(), true);
  assert.is(log.appended.length, 1);
  assert.ok(observer.events.length > 0);
});

sweeping("it sweeps at its start, and stop waits for it", async () => {
  const { put, sweeper, log } = open();
  put(2 * MINUTE_MS, { state: "stored" });
  sweeper.start();
  await sweeper.stop();
  assert.is(log.appended.length, 1);
});

sweeping.run();
