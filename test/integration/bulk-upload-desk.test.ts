/** The gateway's side of the claims: the same on the database and in memory. */
import { ulid } from "ulid";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createUploadDesk } from "../../src/adapters/timescale/uploads-desk.js";
import { objectKey } from "../../src/domain/claim-check.js";
import type { UploadDesk } from "../../src/ports.js";
import { type TestDatabase, withDatabase } from "../support/database.js";
import { createMemoryDesk, newClaim } from "../support/memory-desk.js";
import { within } from "../support/wait.js";

const NOW_MS = Date.parse("2026-01-15T10:00:00.123Z");
const SIZES = { fileSize: 2 ** 33, originalSize: 2 ** 35, sha256: "ab" };

const given = (
  change: Partial<Parameters<UploadDesk["begin"]>[0]> = {},
): Parameters<UploadDesk["begin"]>[0] => ({
  claimId: ulid(),
  tenant: "acme",
  userId: "maria",
  requestId: "request-1",
  key: objectKey(NOW_MS, crypto.randomUUID()),
  storageType: "filesystem",
  idempotencyKey: null,
  receivedMs: NOW_MS,
  ...change,
});

function deskSuite(
  name: string,
  withDesk: (run: (desk: UploadDesk) => Promise<void>) => Promise<void>,
): void {
  const test = suite(`upload desk: ${name}`);

  test("a claim goes from receiving to stored to announced", () =>
    withDesk(async (desk) => {
      const claim = given({ idempotencyKey: "key" });
      const begun = await desk.begin(claim);
      assert.equal(begun, { begun: true, claim: newClaim(claim) });
      await desk.stored("acme", claim.claimId, SIZES);
      await desk.announced("acme", claim.claimId);
      assert.equal(await desk.find("acme", claim.claimId), {
        ...newClaim(claim),
        ...SIZES,
        state: "stored",
        announced: true,
      });
    }));

  test("an idempotency key is one claim within its tenant, also for many at once", () =>
    withDesk(async (desk) => {
      const claims = Array.from({ length: 8 }, () =>
        given({ idempotencyKey: "key" }),
      );
      const answers = await Promise.all(claims.map((it) => desk.begin(it)));
      assert.is(answers.filter(({ begun }) => begun).length, 1);
      assert.is(new Set(answers.map(({ claim }) => claim.claimId)).size, 1);
      const elsewhere = given({ idempotencyKey: "key", tenant: "default" });
      assert.is((await desk.begin(elsewhere)).begun, true);
      for (let i = 0; i < 2; i++)
        assert.is((await desk.begin(given())).begun, true);
    }));

  test("only what is receiving is forgotten, and then its key is free again", () =>
    withDesk(async (desk) => {
      const claim = given({ idempotencyKey: "key" });
      await desk.begin(claim);
      assert.is(await desk.forget("default", claim.claimId), false);
      assert.is(await desk.forget("acme", claim.claimId), true);
      assert.is(await desk.forget("acme", claim.claimId), false);
      assert.is(await desk.find("acme", claim.claimId), null);
      const next = given({ idempotencyKey: "key" });
      assert.is((await desk.begin(next)).begun, true);
      await desk.stored("acme", next.claimId, SIZES);
      assert.is(await desk.forget("acme", next.claimId), false);
    }));

  test("a tenant's claims are listed newest first, in pages, without those still arriving", () =>
    withDesk(async (desk) => {
      const claims = ["A", "B", "C", "D"].map((letter) =>
        given({ claimId: `01J${letter.padStart(23, "0")}` }),
      );
      for (const claim of claims) await desk.begin(claim);
      const elsewhere = given({ tenant: "default" });
      await desk.begin(elsewhere);
      await desk.stored("default", elsewhere.claimId, SIZES);
      const [a, b, , d] = claims.map(({ claimId }) => claimId);
      for (const id of [a!, b!, d!]) await desk.stored("acme", id, SIZES);
      const listed = async (before: string | null, limit: number) =>
        (await desk.list("acme", { before, limit })).map(
          ({ claimId }) => claimId,
        );
      assert.equal(await listed(null, 2), [d, b]);
      assert.equal(await listed(b!, 2), [a]);
      assert.equal(await listed(a!, 2), []);
    }));

  test("a claim that was swept is not completed", () =>
    withDesk(async (desk) => {
      const claim = given();
      await desk.begin(claim);
      await desk.forget("acme", claim.claimId);
      let refused = false;
      await desk
        .stored("acme", claim.claimId, SIZES)
        .catch(() => (refused = true));
      assert.ok(refused);
    }));

  test("a claim is its own tenant's", () =>
    withDesk(async (desk) => {
      const claim = given();
      await desk.begin(claim);
      assert.is(await desk.find("default", claim.claimId), null);
      await desk.announced("default", claim.claimId);
      assert.is((await desk.find("acme", claim.claimId))!.announced, false);
    }));

  test("what is left is receiving, or stored and not announced, since before", () =>
    withDesk(async (desk) => {
      const at = (ms: number) => given({ receivedMs: NOW_MS + ms });
      const [receiving, stored, announced, young] = [
        at(-3000),
        at(-2000),
        at(-1000),
        at(1000),
      ];
      for (const claim of [receiving!, stored!, announced!, young!])
        await desk.begin(claim);
      for (const { claimId } of [stored!, announced!])
        await desk.stored("acme", claimId, SIZES);
      await desk.announced("acme", announced!.claimId);
      const left = await desk.left(NOW_MS, 10);
      assert.equal(
        left.map(({ claimId, state }) => [claimId, state]),
        [
          [receiving!.claimId, "receiving"],
          [stored!.claimId, "stored"],
        ],
      );
      assert.is((await desk.left(NOW_MS, 1)).length, 1);
    }));

  test("objects of open claims are needed", () =>
    withDesk(async (desk) => {
      const claim = given();
      await desk.begin(claim);
      const needed = await desk.needed([claim.key, "telemetry/other"]);
      assert.equal([...needed], [claim.key]);
      await desk.forget("acme", claim.claimId);
      assert.is((await desk.needed([claim.key])).size, 0);
    }));

  test.run();
}

deskSuite("in memory", (run) => run(createMemoryDesk()));
deskSuite("on the database", (run) => onDatabase(1, ([desk]) => run(desk!)));

/** So many processes' desks on one database. */
const onDatabase = (
  count: number,
  run: (desks: UploadDesk[], database: TestDatabase) => Promise<void>,
): Promise<void> =>
  withDatabase({ extension: "never" }, async (database) => {
    const desks = Array.from({ length: count }, () =>
      createUploadDesk({
        url: database.url,
        name: "test",
        poolMin: 0,
        poolMax: 10,
      }),
    );
    try {
      await run(desks, database);
    } finally {
      await Promise.all(desks.map((desk) => desk.close()));
    }
  });

const processes = suite("upload desks of several processes");

processes("one at a time sweeps, and the next may once it is done", () =>
  onDatabase(2, async ([first, second]) => {
    let release = (): void => {};
    let begun = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const holding = new Promise<void>((resolve) => (begun = resolve));
    const sweep = first!.alone(async () => {
      begun();
      await held;
    });
    await within(10_000, holding, "the first to sweep");
    assert.is(await second!.alone(async () => {}), false);
    release();
    assert.is(await sweep, true);
    assert.is(await second!.alone(async () => {}), true);
  }),
);

processes("a sweep that fails leaves the turn to the next", () =>
  onDatabase(2, async ([first, second]) => {
    const fails = first!.alone(() => Promise.reject(new Error("planted")));
    assert.is(await fails.catch(() => "failed"), "failed");
    assert.is(await second!.alone(async () => {}), true);
  }),
);

processes("an ended claim's object is not needed", () =>
  onDatabase(1, async ([desk], { admin }) => {
    const claims = [given(), given(), given()];
    for (const claim of claims) await desk!.begin(claim);
    for (const [i, state] of ["processing", "done", "rejected"].entries())
      await admin.query(
        "UPDATE claims SET state = $1, finished_at = $3 WHERE claim_id = $2",
        [state, claims[i]!.claimId, new Date(NOW_MS)],
      );
    const needed = await desk!.needed(claims.map(({ key }) => key));
    assert.equal([...needed], [claims[0]!.key]);
    const done = await desk!.find("acme", claims[1]!.claimId);
    assert.is(done!.finishedMs, NOW_MS);
  }),
);

processes.run();
