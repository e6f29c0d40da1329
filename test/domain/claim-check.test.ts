import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type ClaimCheck,
  claimCheckRecord,
  objectKey,
  readClaimCheck,
} from "../../src/domain/claim-check.js";
import { isFault } from "../../src/domain/fault.js";

const claimChecks = suite("claim checks");

const claim: ClaimCheck = {
  claimId: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
  tenant: "acme",
  userId: "maria",
  requestId: "request-1",
  key: objectKey(
    Date.parse("2024-01-15T10:30:00.999Z"),
    "550e8400-e29b-41d4-a716-446655440000",
  ),
  storageType: "minio",
  fileSize: 1_500_000,
  originalSize: 5_000_000,
  sha256: "ab".repeat(32),
};

claimChecks("an object's key tells the second it was received", () => {
  assert.is(
    claim.key,
    "telemetry/2024-01-15-10-30-00/550e8400-e29b-41d4-a716-446655440000.json.gz",
  );
});

claimChecks(
  "the record is keyed by tenant and says what the contract says",
  () => {
    const { key, value } = claimCheckRecord(claim);
    assert.is(key, "acme");
    assert.equal(JSON.parse(value.toString()), {
      claim_check: claim.key,
      storage_type: "minio",
      file_size: 1_500_000,
      original_size: 5_000_000,
      claim_id: claim.claimId,
      tenant: "acme",
      user_id: "maria",
      request_id: "request-1",
      sha256: claim.sha256,
    });
  },
);

claimChecks("what was written is read again", () => {
  assert.equal(readClaimCheck(claimCheckRecord(claim).value), claim);
});

claimChecks("it stays near a kilobyte, however long the ids", () => {
  const long = {
    ...claim,
    tenant: "t".repeat(128),
    userId: "u".repeat(5000),
    requestId: "r".repeat(5000),
  };
  const { value } = claimCheckRecord(long);
  assert.ok(value.length <= 1024, `${value.length} bytes`);
  assert.not(isFault(readClaimCheck(value)));
});

claimChecks(
  "what anyone else may have written is refused, never thrown at",
  () => {
    const good = JSON.parse(claimCheckRecord(claim).value.toString()) as Record<
      string,
      unknown
    >;
    const bad: [string, unknown][] = [
      ["claim_check", "telemetry/../../etc/passwd"],
      ["claim_check", `${claim.key}/../x`],
      ["claim_check", `/${claim.key}`],
      ["claim_check", `${claim.key}\n`],
      ["claim_check", null],
      ["storage_type", "ftp"],
      ["file_size", -1],
      ["file_size", 1.5],
      ["original_size", "5000000"],
      ["claim_id", "../x"],
      ["tenant", "a/b"],
      ["tenant", ""],
      ["user_id", 7],
      ["user_id", "u".repeat(129)],
      ["sha256", "AB".repeat(32)],
    ];
    for (const [name, value] of bad) {
      const text = JSON.stringify({ ...good, [name]: value });
      const read = readClaimCheck(Buffer.from(text));
      assert.ok(isFault(read), `${name}: ${String(value)}`);
      assert.match(read.detail, name);
    }
    for (const name of Object.keys(good)) {
      const text = JSON.stringify({ ...good, [name]: undefined });
      assert.ok(isFault(readClaimCheck(Buffer.from(text))), name);
    }
    for (const text of ["", "{", "null", "[]", "12"])
      assert.ok(isFault(readClaimCheck(Buffer.from(text))), text);
    assert.ok(isFault(readClaimCheck(null)));
  },
);

claimChecks.run();
