/** Uploads that are taken: what is stored, what is announced, what is answered. */
import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import { NOW_MS } from "../support/gateway-rig.js";
import { newClaim } from "../support/memory-desk.js";
import { GZIP, uploadOf, withUploads } from "./bulk-rig.js";

const uploads = suite("uploads");

const KEY = /^telemetry\/2026-01-15-10-00-00\/[0-9a-f-]{36}\.json\.gz$/;
const sha256 = (bytes: Buffer) =>
  createHash("sha256").update(bytes).digest("hex");

for (const { name, headers, pack } of [
  { name: "plain JSON", headers: {}, pack: (text: Buffer) => text },
  { name: "gzip", headers: { "content-encoding": "gzip" }, pack: gzipSync },
  {
    name: "a gzip file",
    headers: { "content-type": "application/gzip" },
    pack: gzipSync,
  },
])
  uploads(`${name} is stored gzipped, announced and answered`, () =>
    withUploads(async ({ upload, objects, desk, log }) => {
      const text = Buffer.from(JSON.stringify(uploadOf(3)));
      const answer = await upload(pack(text), {
        "content-type": "application/json",
        "x-request-id": "request-1",
        ...headers,
      });
      assert.is(answer.status, 202, JSON.stringify(answer.body));
      const [[key, object] = ["", null]] = objects.kept;
      assert.match(key, KEY);
      assert.equal(gunzipSync(object!.data), text);
      assert.equal(object!.metadata, {
        user_id: "anonymous",
        request_id: "request-1",
      });
      const [claim] = [...desk.claims.values()];
      const status = `/api/v1/telemetry/claims/${claim!.claimId}`;
      assert.equal(answer.body, {
        claim_id: claim!.claimId,
        claim_check: key,
        file_size: object!.bytes,
        original_size: text.length,
        status_url: status,
      });
      assert.is(answer.headers.get("location"), status);
      assert.is(claim!.state, "stored");
      assert.is(claim!.announced, true);
      assert.is(log.appended.length, 1);
      const { topic, record } = log.appended[0]!;
      assert.is(topic, "telemetry.raw");
      assert.is(record.key, "default");
      assert.equal(JSON.parse(record.value!.toString()), {
        claim_check: key,
        storage_type: "filesystem",
        file_size: object!.bytes,
        original_size: text.length,
        claim_id: claim!.claimId,
        tenant: "default",
        user_id: "anonymous",
        request_id: "request-1",
        sha256: sha256(object!.data),
      });
    }),
  );

uploads("a large upload is stored without being read in full", () =>
  withUploads(async ({ upload, objects }) => {
    const text = Buffer.from(JSON.stringify(uploadOf(20_000)));
    assert.ok(text.length > 2 * 1024 * 1024);
    const answer = await upload(gzipSync(text), GZIP);
    assert.is(answer.status, 202);
    assert.is(answer.body["original_size"], text.length);
    assert.equal(gunzipSync([...objects.kept.values()][0]!.data), text);
  }),
);

uploads("gzip of several members is one upload", () =>
  withUploads(async ({ upload }) => {
    const text = Buffer.from(JSON.stringify(uploadOf(3)));
    const members = [text.subarray(0, 50), text.subarray(50)].map((part) =>
      gzipSync(part),
    );
    const answer = await upload(Buffer.concat(members), GZIP);
    assert.is(answer.status, 202, JSON.stringify(answer.body));
    assert.is(answer.body["original_size"], text.length);
  }),
);

uploads("a claim's status is shown, to its own tenant only", () =>
  withUploads(async ({ upload, desk, get }) => {
    const made = await upload(JSON.stringify(uploadOf(1)));
    const url = String(made.body["status_url"]);
    assert.equal((await get(url)).body, {
      claim_id: made.body["claim_id"],
      state: "stored",
      equipments: { total: null, stored: 0, failed: 0 },
      readings: { stored: 0, duplicate: 0, failed: 0 },
      errors: [],
      received_at: "2026-01-15T10:00:00.000Z",
      finished_at: null,
    });
    const [claim] = [...desk.claims.values()];
    desk.claims.set(claim!.claimId, { ...claim!, tenant: "acme" });
    assert.is((await get(url)).status, 404);
  }),
);

uploads("no id of a claim leads anywhere else", () =>
  withUploads(async ({ get }) => {
    for (const id of [
      "..%2f..%2fetc%2fpasswd",
      "%00",
      "01ARZ3NDEKTSV4RRFFQ69G5FA",
      "'%20OR%20true--",
      "__proto__",
    ]) {
      const { status } = await get(`/api/v1/telemetry/claims/${id}`);
      assert.is(status, 400, id);
    }
    const known = "/api/v1/telemetry/claims/01ARZ3NDEKTSV4RRFFQ69G5FAV";
    assert.is((await get(known)).status, 404);
  }),
);

uploads("the same idempotency key is the same claim", () =>
  withUploads(async ({ upload, objects, desk, log }) => {
    const text = JSON.stringify(uploadOf(2));
    const headers = { ...GZIP, "idempotency-key": "file-7" };
    const first = await upload(gzipSync(text), headers);
    const again = await upload(gzipSync(text, { level: 9 }), headers);
    assert.is(first.status, 202);
    assert.is(again.status, 202);
    assert.equal(again.body, first.body);
    assert.is(objects.kept.size, 1);
    assert.is(desk.claims.size, 1);
    assert.is(log.appended.length, 1);
  }),
);

uploads("an idempotency key is not taken for another upload", () =>
  withUploads(async ({ upload, objects }) => {
    const headers = { ...GZIP, "idempotency-key": "file-7" };
    await upload(gzipSync(JSON.stringify(uploadOf(2))), headers);
    const other = await upload(
      gzipSync(JSON.stringify(uploadOf(20_000))),
      headers,
    );
    assert.is(other.status, 422);
    assert.is(other.body["code"], "IDEMPOTENCY_KEY_TAKEN");
    assert.is(objects.kept.size, 1);
  }),
);

uploads("an idempotency key belongs to its tenant", () =>
  withUploads(async ({ upload, desk, objects }) => {
    const claim = newClaim({
      claimId: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
      tenant: "acme",
      userId: "u",
      requestId: "r",
      key: "telemetry/x",
      storageType: "filesystem",
      idempotencyKey: "file-7",
      receivedMs: NOW_MS,
    });
    desk.claims.set(claim.claimId, claim);
    const { status, body } = await upload(JSON.stringify(uploadOf(1)), {
      "content-type": "application/json",
      "idempotency-key": "file-7",
    });
    assert.is(status, 202);
    assert.is.not(body["claim_id"], claim.claimId);
    assert.is(objects.kept.size, 1);
  }),
);

uploads("with the log away the upload is kept, and the same key sends it", () =>
  withUploads(async ({ upload, objects, desk, log }) => {
    const text = JSON.stringify(uploadOf(2));
    const headers = {
      "content-type": "application/json",
      "idempotency-key": "file-8",
    };
    log.fail = new TwinstreamError("LOG_UNREACHABLE");
    const first = await upload(text, headers);
    assert.is(first.status, 503);
    assert.is(first.body["code"], "LOG_UNREACHABLE");
    assert.ok(Number(first.headers.get("retry-after")) > 0);
    assert.is(objects.kept.size, 1);
    const [claim] = [...desk.claims.values()];
    assert.is(claim!.state, "stored");
    assert.is(claim!.announced, false);
    assert.match(String(first.body["detail"]), claim!.claimId);

    log.fail = null;
    const again = await upload(text, headers);
    assert.is(again.status, 202);
    assert.is(again.body["claim_id"], claim!.claimId);
    assert.is(objects.kept.size, 1);
    assert.is(log.appended.length, 1);
    assert.is(desk.claims.get(claim!.claimId)!.announced, true);
  }),
);

uploads(
  "a claim that cannot be marked as announced is answered all the same",
  () =>
    withUploads(async ({ upload, desk, log, observer }) => {
      desk.fail.set("announced", new TwinstreamError("STORE_UNREACHABLE"));
      const { status } = await upload(JSON.stringify(uploadOf(1)));
      assert.is(status, 202);
      assert.is(log.appended.length, 1);
      assert.ok(observer.events.some(({ type }) => type === "failure"));
    }),
);

uploads.run();
