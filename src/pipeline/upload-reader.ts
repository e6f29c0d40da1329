/**
 * An upload's elements out of its object, a few at a time: stored bytes → hash → gunzip → cut. The hash is known before the
 * first element is handed over, so nothing of an object that is not what was uploaded is stored; a large object is read
 * twice for that.
 */
import { createHash } from "node:crypto";
import { pipeline, type Readable } from "node:stream";
import { createGunzip, gunzipSync } from "node:zlib";
import { inflatedAtMost } from "../domain/claim-check.js";
import {
  type ArrayElement,
  type ArrayLimits,
  createArraySplitter,
} from "../domain/json-array.js";
import { reasonOf, TwinstreamError } from "../errors.js";
import type { ObjectStore, UploadClaim } from "../ports.js";

/** The upload can never be stored, or not from here on; `message` says why. */
export class PoisonedUpload extends Error {
  override readonly name = "PoisonedUpload";
}

export interface ReadLimits extends ArrayLimits {
  /** Bytes of an upload, uncompressed. */
  readonly uploadBytes: number;
  /** Times that an upload may grow when inflated. */
  readonly maxRatio: number;
}

/** Stored and uncompressed bytes up to which an upload is held whole. */
export const WHOLE_STORED_BYTES = 256 * 1024;
export const WHOLE_BYTES = 512 * 1024;

/** Inflated bytes that come at a time: while they are read the next are inflated, and nothing else of the process runs. */
const CHUNK = 64 * 1024;

export const isSmall = (
  claim: Pick<UploadClaim, "fileSize" | "originalSize">,
): boolean =>
  claim.fileSize <= WHOLE_STORED_BYTES && claim.originalSize <= WHOLE_BYTES;

/**
 * Elements in the order of the file, as they come.
 * @throws PoisonedUpload; OBJECTS_UNREACHABLE
 */
export async function* elementsOf(
  objects: ObjectStore,
  claim: UploadClaim,
  limits: ReadLimits,
): AsyncGenerator<ArrayElement[]> {
  const splitter = createArraySplitter(limits);
  const grown = inflatedAtMost(claim.fileSize, limits.maxRatio);
  const most = Math.min(limits.uploadBytes, claim.originalSize, grown);
  let inflated = 0;
  for await (const chunk of textOf(objects, claim, most)) {
    inflated += chunk.length;
    if (inflated > most)
      throw new PoisonedUpload(
        most === grown
          ? `it inflates to more than ${limits.maxRatio} times its size, which no telemetry does`
          : `it inflates to more than the ${most} bytes it may have`,
      );
    const found: ArrayElement[] = [];
    const wrong = splitter.push(chunk, (element) => found.push(element));
    if (found.length > 0) yield found;
    if (wrong !== null) throw new PoisonedUpload(wrong);
  }
  const wrong = splitter.end();
  if (wrong !== null) throw new PoisonedUpload(wrong);
}

async function* textOf(
  objects: ObjectStore,
  claim: UploadClaim,
  most: number,
): AsyncGenerator<Buffer> {
  if (isSmall(claim)) {
    const stored = await storedBytes(objects, claim);
    try {
      yield gunzipSync(stored, { maxOutputLength: Math.max(1, most) });
    } catch (error) {
      throw inflating(error);
    }
    return;
  }
  await checkHash(objects, claim);
  const source = await objectOf(objects, claim);
  const gunzip = createGunzip({ chunkSize: CHUNK });
  // The reader below is told of every error; this one needs to hear nothing.
  pipeline(source, gunzip, () => undefined);
  try {
    for await (const chunk of gunzip) yield chunk as Buffer;
  } catch (error) {
    throw inflating(error);
  } finally {
    source.destroy();
    gunzip.destroy();
  }
}

async function objectOf(
  objects: ObjectStore,
  { key }: UploadClaim,
): Promise<Readable> {
  try {
    return await objects.get(key);
  } catch (error) {
    if (error instanceof TwinstreamError && error.code === "NOT_FOUND")
      throw new PoisonedUpload(`its object ${key} is not there`);
    throw error;
  }
}

async function storedBytes(
  objects: ObjectStore,
  claim: UploadClaim,
): Promise<Buffer> {
  const parts: Buffer[] = [];
  await checkHash(objects, claim, (part) => parts.push(part));
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

async function checkHash(
  objects: ObjectStore,
  claim: UploadClaim,
  each?: (part: Buffer) => void,
): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const part of await objectOf(objects, claim)) {
    bytes += (part as Buffer).length;
    if (bytes > claim.fileSize) break;
    hash.update(part as Buffer);
    each?.(part as Buffer);
  }
  if (bytes !== claim.fileSize)
    throw new PoisonedUpload(
      `its object has not the ${claim.fileSize} bytes that were uploaded`,
    );
  if (hash.digest("hex") !== claim.sha256)
    throw new PoisonedUpload(
      "its object's SHA-256 is not that of what was uploaded",
    );
}

function inflating(error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? error.code : "";
  if (code === "Z_BUF_ERROR")
    return new PoisonedUpload("the gzip stream breaks off");
  if (code === "ERR_BUFFER_TOO_LARGE")
    return new PoisonedUpload("it inflates to more bytes than were uploaded");
  if (typeof code === "string" && code.startsWith("Z_"))
    return new PoisonedUpload(`its object is not gzip: ${reasonOf(error)}`);
  return error;
}
