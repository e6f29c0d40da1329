/** Whatever a store's calls throw, in the domain's codes. */
import { Readable } from "node:stream";
import { reasonOf, TwinstreamError } from "../../errors.js";
import { explained, type Settings } from "../tls/trouble.js";

const SETTINGS: Settings = {
  address: "MINIO_ENDPOINT",
  prefix: "MINIO_TLS",
  logIn: "MINIO_ACCESS_KEY and MINIO_SECRET_KEY",
  ask: "https:// in MINIO_ENDPOINT",
};

/** The store does not do what it was asked, and may later. `what` begins the sentence. */
export function unreachable(what: string, error: unknown): TwinstreamError {
  return error instanceof TwinstreamError
    ? error
    : new TwinstreamError(
        "OBJECTS_UNREACHABLE",
        explained(`${what}: ${reasonOf(error) || codeOf(error)}`, SETTINGS),
        { cause: error },
      );
}

/** `code` of a Node or S3 error; "" without one. */
export function codeOf(error: unknown): string {
  const code =
    error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/**
 * The bytes of a store's stream, read only as they are asked for; it ends with `unreachable` when the store's does not end
 * well, or when the store is silent for so long although bytes are asked for.
 * @param silenceMs milliseconds; 0 waits for ever
 */
export function readingFrom(
  what: string,
  source: Readable,
  silenceMs: number,
): Readable {
  async function* bytes(): AsyncGenerator<Buffer> {
    const chunks = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    try {
      for (;;) {
        const next = await heard(source, chunks, silenceMs);
        if (next.done === true) return;
        yield next.value;
      }
    } catch (error) {
      throw unreachable(what, error);
    }
  }
  source.on("error", () => {
    // Reading it throws this error; one that nobody reads ends no process.
  });
  const reader = Readable.from(bytes(), { objectMode: false });
  // Also when it is let go before its first byte was asked for.
  reader.once("close", () => source.destroy());
  return reader;
}

async function heard(
  source: Readable,
  chunks: AsyncIterator<Buffer>,
  silenceMs: number,
): Promise<IteratorResult<Buffer>> {
  if (silenceMs === 0) return chunks.next();
  const timer = setTimeout(
    () => source.destroy(new Error(`silent for ${silenceMs} ms`)),
    silenceMs,
  );
  try {
    return await chunks.next();
  } finally {
    clearTimeout(timer);
  }
}
