/**
 * Objects as files: `<folder>/<key>`, with `<key>.meta.json` beside it, on a file system that this machine trusts (it may be
 * shared by several). What is being written is in `.incoming`, on the same file system. That folder also tells a store that
 * is there from an empty mount point: without it nothing is "not found".
 */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import {
  access,
  lstat,
  mkdir,
  open,
  opendir,
  readFile,
  realpath,
  rm,
  statfs,
} from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { TwinstreamError } from "../../errors.js";
import type { ObjectStore, StoredObject } from "../../ports.js";
import { codeOf, readingFrom, unreachable } from "./failure.js";
import { bytesOf, place, tidy, writeDurably } from "./filesystem-files.js";
import {
  checkedKey,
  checkedMetadata,
  checkedPrefix,
  META_SUFFIX,
} from "./keys.js";

export const INCOMING = ".incoming";
const READ_BYTES = 262_144;
/** Gone, or part of the way is a file, or the last part is a link. */
const MISSING = ["ENOENT", "ENOTDIR", "ELOOP"];
const { O_RDONLY, O_NOFOLLOW, R_OK, W_OK, X_OK } = constants;

export function createFilesystemStore(options: {
  /** Made by `prepare`; relative to the working directory. */
  readonly folder: string;
}): ObjectStore {
  const root = resolve(options.folder);
  const incoming = join(root, INCOMING);

  /** @throws OBJECTS_UNREACHABLE unless the store is there and can be written, were it not full. */
  async function mustBeThere(): Promise<void> {
    try {
      await access(incoming, R_OK | W_OK | X_OK);
    } catch (error) {
      throw unreachable(`uploads are not kept in ${root}`, error);
    }
  }

  /** What `look` answers; null when what it looks for is not there, or only by way of a link. */
  async function lookFor<T>(
    key: string,
    look: (path: string) => Promise<T>,
  ): Promise<T | null> {
    const path = join(root, key);
    try {
      const folder = await realpath(dirname(path));
      if (folder === join(await realpath(root), dirname(key)))
        return await look(path);
    } catch (error) {
      if (!MISSING.includes(codeOf(error)))
        throw unreachable(`could not look for ${path}`, error);
    }
    await mustBeThere();
    return null;
  }

  async function statOf(key: string): Promise<StoredObject | null> {
    const stat = await lookFor(key, (path) => lstat(path));
    return stat?.isFile() === true
      ? { key, bytes: stat.size, modifiedMs: Math.floor(stat.mtimeMs) }
      : null;
  }

  async function metadataOf(key: string): Promise<Record<string, string>> {
    const text = await lookFor(key + META_SUFFIX, (path) =>
      readFile(path, { encoding: "utf8", flag: O_RDONLY | O_NOFOLLOW }),
    );
    return text === null ? {} : recordIn(text);
  }

  /** Keys of the files under a folder, which ends in a slash or is "". Keeps one open folder a level. */
  async function* keysIn(folder: string): AsyncGenerator<string> {
    const entries = await lookFor(`${folder}x`, (path) =>
      opendir(dirname(path)),
    );
    if (entries === null) return;
    for await (const entry of entries) {
      const key: string = folder + entry.name;
      if (entry.name.startsWith(".")) continue;
      if (entry.isDirectory()) yield* keysIn(`${key}/`);
      else if (entry.isFile() && !key.endsWith(META_SUFFIX)) yield key;
    }
  }

  return {
    type: "filesystem",

    async put(key, stream, metadata) {
      const body = bytesOf(stream);
      const temporary = join(incoming, randomUUID());
      try {
        const about = JSON.stringify(checkedMetadata(metadata));
        checkedKey(key);
        const bytes = await writeDurably(temporary, body);
        await writeDurably(temporary + META_SUFFIX, once(about));
        await place(root, key, temporary).catch((error: unknown) => {
          throw unreachable(`could not store ${key} in ${root}`, error);
        });
        return { bytes };
      } catch (error) {
        stream.destroy();
        for (const path of [temporary, temporary + META_SUFFIX])
          await rm(path, { force: true }).catch(() => {
            // What made the put fail is what counts; the sweep removes the file.
          });
        throw error;
      }
    },

    async get(key) {
      const found = await lookFor(checkedKey(key), async (path) => {
        const file = await open(path, O_RDONLY | O_NOFOLLOW);
        return { file, stat: await file.stat() };
      });
      if (found?.stat.isFile() === true)
        return readingFrom(
          `could not read ${key} in ${root}`,
          // A small object takes no large buffer.
          found.file.createReadStream({
            highWaterMark: Math.min(READ_BYTES, found.stat.size + 1),
          }),
          0,
        );
      await found?.file.close();
      throw new TwinstreamError("NOT_FOUND", `no object ${key}`);
    },

    async head(key) {
      const stat = await statOf(checkedKey(key));
      return stat && { ...stat, metadata: await metadataOf(key) };
    },

    async remove(key) {
      await lookFor(checkedKey(key), async (path) => {
        // The object first: while it can be seen it has its metadata.
        await rm(path, { force: true });
        await rm(path + META_SUFFIX, { force: true });
        await tidy(root, dirname(path));
      });
    },

    async *list(prefix, modifiedBeforeMs) {
      const folder = checkedPrefix(prefix).replace(/[^/]*$/, "");
      await mustBeThere();
      try {
        for await (const key of keysIn(folder)) {
          if (!key.startsWith(prefix)) continue;
          const stat = await statOf(key);
          if (stat && stat.modifiedMs < modifiedBeforeMs) yield stat;
        }
      } catch (error) {
        throw unreachable(`could not list ${root}`, error);
      }
    },

    async sweep(begunBeforeMs) {
      let removed = 0;
      try {
        for await (const entry of await opendir(incoming)) {
          const path = join(incoming, entry.name);
          // By its last write: one that is still coming in is no leftover.
          const writtenMs = await writtenAt(path);
          if (writtenMs === null || writtenMs >= begunBeforeMs) continue;
          await rm(path, { force: true, recursive: true });
          if (!entry.name.endsWith(META_SUFFIX)) removed += 1;
        }
      } catch (error) {
        throw unreachable(`could not sweep ${incoming}`, error);
      }
      return removed;
    },

    /** Files have no rule of their own: whoever lists old ones removes them. */
    async prepare() {
      try {
        await mkdir(incoming, { recursive: true, mode: 0o750 });
      } catch (error) {
        throw unreachable(`could not make ${root}`, error);
      }
      await mustBeThere();
    },

    async ping() {
      await mustBeThere();
      if ((await statfs(incoming)).bavail === 0)
        throw new TwinstreamError(
          "OBJECTS_UNREACHABLE",
          `no space is left for uploads in ${root}`,
        );
    },

    async free() {
      await mustBeThere();
      const { bavail, bsize } = await statfs(incoming);
      return bavail * bsize;
    },

    async close() {},
  };
}

/** When a file was last written; null when it has meanwhile been put in its place. */
async function writtenAt(path: string): Promise<number | null> {
  try {
    return (await lstat(path)).mtimeMs;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
}

/** Metadata that somebody else's hand has spoilt is none; the object is whole all the same. */
function recordIn(text: string): Record<string, string> {
  try {
    return JSON.parse(text) as Record<string, string>;
  } catch {
    return {};
  }
}

async function* once(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}
