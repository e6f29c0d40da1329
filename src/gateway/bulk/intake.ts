/**
 * From a request's body to what the store keeps: gzip, counted and hashed. A gzipped body passes as it is and is inflated
 * beside, for its size and its first bytes; a plain one is compressed on the way. Nothing is held but the stages' buffers,
 * a few hundred KB together, and the text of a small upload.
 */
import { createHash } from "node:crypto";
import { finished, pipeline, type Readable, Transform } from "node:stream";
import { createGunzip, createGzip } from "node:zlib";
import { inflatedAtMost } from "../../domain/claim-check.js";
import { reasonOf, TwinstreamError } from "../../errors.js";
import { refusal } from "../problems.js";
import type { Content } from "./content.js";
import { pour } from "./pour.js";

export interface Intake {
  /** Gzipped. Fails with a refusal (BAD_REQUEST, TOO_LARGE, BODY_TOO_SLOW). */
  readonly stored: Readable;
  /** Once `stored` has ended. */
  sizes(): { fileSize: number; originalSize: number; sha256: string };
  /** Why the body was not taken, in whatever words the store then failed; null when it was not the body's fault. */
  refused(): TwinstreamError | null;
}

export interface IntakeOptions {
  readonly gzipped: boolean;
  readonly content: Content;
  /** Times that a gzipped body may grow. */
  readonly maxRatio: number;
  /** Milliseconds that all of the body may take. */
  readonly totalMs: number;
}

/** Level 1 compresses seven times as fast as level 6, to 1.2 times the size. */
const LEVEL = 1;
/** Bytes a zlib stream hands over at a time: its default of 16 KiB makes twice the steps. */
const CHUNK = 64 * 1024;

export function openIntake(body: Readable, options: IntakeOptions): Intake {
  const { content } = options;
  const tally = createTally();
  let refused: TwinstreamError | null = null;
  const settled = (error?: Error | null): void => {
    if (error instanceof TwinstreamError) refused = error;
  };

  let first: Transform;
  let stored: Readable;
  if (options.gzipped) {
    first = inflateBeside(content, options.maxRatio, tally);
    finished(first, settled);
    stored = first;
  } else {
    first = passThrough(content.take, content.end);
    const gzip = createGzip({ level: LEVEL, chunkSize: CHUNK });
    const held = passThrough(tally.take, () =>
      holdRatio(content, options.maxRatio, tally),
    );
    stored = pipeline(first, gzip, held, settled);
  }
  pour(body, first, options.totalMs);
  return {
    stored,
    sizes: () => ({
      fileSize: tally.bytes,
      originalSize: content.bytes,
      sha256: tally.sha256(),
    }),
    refused: () => refused,
  };
}

interface Tally {
  take(chunk: Buffer): void;
  readonly bytes: number;
  sha256(): string;
}

function createTally(): Tally {
  const hash = createHash("sha256");
  let bytes = 0;
  return {
    take(chunk) {
      bytes += chunk.length;
      hash.update(chunk);
    },
    get bytes() {
      return bytes;
    },
    sha256: () => hash.digest("hex"),
  };
}

/** Everything passes as it is; what `take` or `end` throw destroys the stream. */
function passThrough(
  take: (chunk: Buffer) => void,
  end: () => void = () => {},
): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      attempt(() => take(chunk), done, chunk);
    },
    flush: (done) => attempt(end, done),
  });
}

function attempt(
  work: () => void,
  done: (error?: Error | null, chunk?: Buffer) => void,
  chunk?: Buffer,
): void {
  try {
    work();
  } catch (error) {
    done(error as Error);
    return;
  }
  done(null, chunk);
}

/** A chunk passes once it has been inflated and found well, so the reader of this never holds what is still to be refused. */
function inflateBeside(
  content: Content,
  maxRatio: number,
  tally: Tally,
): Transform {
  const gunzip = createGunzip({ chunkSize: CHUNK });
  const beside = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      tally.take(chunk);
      gunzip.write(chunk, () => {
        // What failed destroys this stream by itself.
        if (!gunzip.destroyed) done(null, chunk);
      });
    },
    flush(done) {
      // Where something follows the end it has ended already.
      if (gunzip.readableEnded) attempt(endWell, done);
      else gunzip.once("end", () => attempt(endWell, done));
      gunzip.end();
    },
    destroy(error, done) {
      gunzip.destroy();
      done(error);
    },
  });
  const endWell = (): void => {
    if (gunzip.bytesWritten !== tally.bytes)
      throw badGzip("something follows after its end");
    content.end();
  };
  const inflated = (chunk: Buffer): void => {
    content.take(chunk);
    holdRatio(content, maxRatio, tally);
  };
  gunzip.on("data", (chunk: Buffer) => {
    if (beside.destroyed) return;
    try {
      inflated(chunk);
    } catch (error) {
      beside.destroy(error as Error);
    }
  });
  gunzip.on("error", (error) => beside.destroy(badGzip(reasonOf(error))));
  return beside;
}

/** @throws TOO_LARGE */
function holdRatio(content: Content, maxRatio: number, tally: Tally): void {
  if (content.bytes > inflatedAtMost(tally.bytes, maxRatio))
    throw refusal(
      "TOO_LARGE",
      `the upload is more than ${maxRatio} times as large as it is gzipped, which no telemetry is`,
    );
}

const badGzip = (reason: string) =>
  refusal("BAD_REQUEST", `the upload is not well-formed gzip: ${reason}`, [
    { path: "$", reason },
  ]);
