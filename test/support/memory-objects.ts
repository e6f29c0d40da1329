/** The object store in memory: an object is there once its stream has ended well, and only then. */
import { Readable } from "node:stream";
import { TwinstreamError } from "../../src/errors.js";
import type { Clock, ObjectStore } from "../../src/ports.js";

export interface MemoryObject {
  /** Empty when the store was told to keep no bytes. */
  readonly data: Buffer;
  readonly bytes: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly modifiedMs: number;
}

export interface MemoryObjects extends ObjectStore {
  readonly kept: Map<string, MemoryObject>;
  /** Every call fails with it. */
  fail: Error | null;
  /** A put fails once it has taken so many bytes, as a full disk does. */
  room: number;
  /** A put waits for it before it looks at its stream. */
  slow: Promise<void> | null;
  /** Puts that have begun and not ended. */
  readonly arriving: Set<string>;
  /** What `sweep` was asked for. */
  readonly swept: number[];
}

/** @param keepBytes false for uploads too large to keep; their sizes are kept. */
export function createMemoryObjects(
  clock: Clock,
  keepBytes = true,
): MemoryObjects {
  const kept = new Map<string, MemoryObject>();
  const arriving = new Set<string>();
  const swept: number[] = [];
  const reach = (): void => {
    if (store.fail !== null) throw store.fail;
  };
  const store: MemoryObjects = {
    type: "filesystem",
    kept,
    fail: null,
    room: Infinity,
    slow: null,
    arriving,
    swept,
    async put(key, body, metadata) {
      reach();
      arriving.add(key);
      await store.slow;
      const chunks: Buffer[] = [];
      let bytes = 0;
      try {
        for await (const chunk of body as AsyncIterable<Buffer>) {
          bytes += chunk.length;
          if (bytes > store.room)
            throw new TwinstreamError(
              "OBJECTS_UNREACHABLE",
              "the disk is full",
            );
          if (keepBytes) chunks.push(chunk);
        }
      } finally {
        arriving.delete(key);
      }
      const data = Buffer.concat(chunks);
      kept.set(key, { data, bytes, metadata, modifiedMs: clock() });
      return { bytes };
    },
    async get(key) {
      reach();
      const found = kept.get(key);
      if (found === undefined) throw new TwinstreamError("NOT_FOUND");
      return Readable.from(found.data, { objectMode: false });
    },
    async head(key) {
      reach();
      const found = kept.get(key);
      return found === undefined ? null : { key, ...found };
    },
    async remove(key) {
      reach();
      kept.delete(key);
    },
    async *list(prefix, modifiedBeforeMs) {
      reach();
      for (const [key, { bytes, modifiedMs }] of kept)
        if (key.startsWith(prefix) && modifiedMs < modifiedBeforeMs)
          yield { key, bytes, modifiedMs };
    },
    async sweep(begunBeforeMs) {
      reach();
      swept.push(begunBeforeMs);
      return 0;
    },
    prepare: async () => reach(),
    ping: async () => reach(),
    async free() {
      reach();
      return Number.isFinite(store.room) ? store.room : null;
    },
    close: async () => undefined,
  };
  return store;
}
