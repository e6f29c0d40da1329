/**
 * The claim check: what lies on `telemetry.raw` in place of an upload, whose bytes are an object in the store. About 500
 * bytes, whatever the upload's size.
 */
import { type Fault, fault, shown } from "./fault.js";
import { isSegment } from "./names.js";

/** What a claim check says. */
export interface ClaimCheck {
  readonly claimId: string;
  readonly tenant: string;
  readonly userId: string;
  readonly requestId: string;
  /** The object's key. */
  readonly key: string;
  readonly storageType: "minio" | "filesystem";
  /** Bytes as stored, gzipped. */
  readonly fileSize: number;
  /** Bytes uncompressed. */
  readonly originalSize: number;
  /** Hex SHA-256 of the stored bytes. */
  readonly sha256: string;
}

const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const KEY = new RegExp(
  String.raw`^telemetry/\d{4}(?:-\d{2}){5}/${UUID}\.json\.gz$`,
);
const CLAIM_ID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const SHA256 = /^[0-9a-f]{64}$/;
/** Characters of ids that people and clients choose, so that a claim check stays near 1 KB. */
const MAX_ID = 128;

/** `telemetry/2024-01-15-10-30-00/<uuid>.json.gz`, by UTC; every key that is read back is held against this form. */
export function objectKey(receivedMs: number, uuid: string): string {
  const second = new Date(receivedMs).toISOString().slice(0, 19);
  return `telemetry/${second.replaceAll(/[T:]/g, "-")}/${uuid}.json.gz`;
}

/** Milliseconds in which an upload must have arrived; a gateway refuses what takes longer. */
export const UPLOAD_MS = 45 * 60_000;
/** Milliseconds after which a claim that is still `receiving` has lost its gateway: the rest is for store and clocks. */
export const ABANDONED_MS = UPLOAD_MS + 15 * 60_000;

/** All uploads' keys begin with it. */
export const OBJECT_PREFIX = "telemetry/";

/** Inflated bytes from which the ratio counts: below, what repeats itself is no bomb. */
const RATIO_FROM = 16 * 1024 * 1024;

/**
 * Bytes that an object of so many may inflate to; more is taken for a bomb. The gateway holds every upload against it, so
 * that none that was accepted is refused by the worker, which does so again.
 */
export const inflatedAtMost = (storedBytes: number, maxRatio: number): number =>
  Math.max(RATIO_FROM, maxRatio * storedBytes);

/** The record of the log; uploads of a tenant share a key, and with it a partition. */
export function claimCheckRecord(claim: ClaimCheck): {
  key: string;
  value: Buffer;
} {
  const value = {
    claim_check: claim.key,
    storage_type: claim.storageType,
    file_size: claim.fileSize,
    original_size: claim.originalSize,
    claim_id: claim.claimId,
    tenant: claim.tenant,
    user_id: claim.userId.slice(0, MAX_ID),
    request_id: claim.requestId.slice(0, MAX_ID),
    sha256: claim.sha256,
  };
  return { key: claim.tenant, value: Buffer.from(JSON.stringify(value)) };
}

/** Reads a record's value. Anyone may write to the log, so nothing in it is believed before it is looked at. */
export function readClaimCheck(value: Buffer | null): ClaimCheck | Fault {
  let given: unknown;
  try {
    given = JSON.parse(value?.toString("utf8") ?? "");
  } catch {
    return fault("parse_error", "the claim check is not JSON");
  }
  if (typeof given !== "object" || given === null || Array.isArray(given))
    return fault(
      "invalid_schema",
      `claim check: expected an object, got ${shown(given)}`,
    );
  const read = given as Readonly<Record<string, unknown>>;
  const bad = Object.entries(RULES).find(([name, rule]) => !rule(read[name]));
  if (bad !== undefined)
    return fault("invalid_schema", `${bad[0]}: got ${shown(read[bad[0]])}`);
  return {
    claimId: read["claim_id"] as string,
    tenant: read["tenant"] as string,
    userId: read["user_id"] as string,
    requestId: read["request_id"] as string,
    key: read["claim_check"] as string,
    storageType: read["storage_type"] as ClaimCheck["storageType"],
    fileSize: read["file_size"] as number,
    originalSize: read["original_size"] as number,
    sha256: read["sha256"] as string,
  };
}

const matches =
  (form: RegExp) =>
  (value: unknown): boolean =>
    typeof value === "string" && form.test(value);
const isSize = (value: unknown): boolean =>
  Number.isSafeInteger(value) && (value as number) >= 0;
const isId = (value: unknown): boolean =>
  typeof value === "string" && value.length <= MAX_ID;

const RULES: Readonly<Record<string, (value: unknown) => boolean>> = {
  claim_check: matches(KEY),
  storage_type: matches(/^(?:minio|filesystem)$/),
  file_size: isSize,
  original_size: isSize,
  claim_id: matches(CLAIM_ID),
  tenant: (value) => typeof value === "string" && isSegment(value),
  user_id: isId,
  request_id: isId,
  sha256: matches(SHA256),
};
