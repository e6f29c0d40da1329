/** Files that are whole and stay so: written under another name, forced to disk, then renamed. */
import { lstat, mkdir, open, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { codeOf, unreachable } from "./failure.js";
import { META_SUFFIX } from "./keys.js";

const FOLDER_MODE = 0o750;
const FILE_MODE = 0o640;
/** Each further one needs somebody else to tidy a folder away in the instant between its making and the rename. */
const PLACE_ATTEMPTS = 100;

/**
 * Writes a new file and forces it to disk; answers its bytes. Holds one chunk of the stream at a time.
 * @throws the stream's own error as it is; TwinstreamError OBJECTS_UNREACHABLE
 */
export async function writeDurably(
  path: string,
  body: AsyncIterable<Uint8Array>,
): Promise<number> {
  const what = `could not write ${path}`;
  const file = await asked(what, open(path, "wx", FILE_MODE));
  try {
    let bytes = 0;
    for await (const chunk of body) {
      await asked(what, file.appendFile(chunk));
      bytes += chunk.length;
    }
    await asked(what, file.sync());
    return bytes;
  } finally {
    await asked(what, file.close());
  }
}

/**
 * Moves a finished file and the one with its metadata to their place below `root`; the metadata first, since the object is
 * there once its file is. Folders on the way are made; a link among them is not followed.
 */
export async function place(
  root: string,
  key: string,
  temporary: string,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await makeFolders(root, key);
      await moveTo(root, key, temporary);
      return;
    } catch (error) {
      if (codeOf(error) !== "ENOENT" || attempt === PLACE_ATTEMPTS) throw error;
    }
  }
}

async function moveTo(
  root: string,
  key: string,
  temporary: string,
): Promise<void> {
  const target = join(root, key);
  try {
    await rename(temporary + META_SUFFIX, target + META_SUFFIX);
    await rename(temporary, target);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") {
      await rm(target + META_SUFFIX, { force: true });
      await tidy(root, dirname(target));
    }
    throw error;
  }
  await syncFolder(dirname(target));
}

async function makeFolders(root: string, key: string): Promise<void> {
  let path = root;
  for (const name of key.split("/").slice(0, -1)) {
    const parent = path;
    path = join(parent, name);
    try {
      await mkdir(path, FOLDER_MODE);
      await syncFolder(parent);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
      if (!(await isFolder(path))) throw new Error(`${path} is no folder`);
    }
  }
}

/** False for a link to one; true for one that has just been tidied away. */
async function isFolder(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return true;
    throw error;
  }
}

/** A rename lasts once its folder is on disk too. */
async function syncFolder(path: string): Promise<void> {
  let folder;
  try {
    folder = await open(path);
  } catch (error) {
    // Tidied away: what was renamed into it is gone too.
    if (codeOf(error) === "ENOENT") return;
    throw error;
  }
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Removes a folder below `root` and those above it, as far as they are empty. */
export async function tidy(root: string, folder: string): Promise<void> {
  for (let path = folder; path !== root; path = dirname(path)) {
    try {
      await rmdir(path);
    } catch (error) {
      const code = codeOf(error);
      if (code === "ENOENT") continue;
      if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR")
        return;
      throw error;
    }
  }
}

async function asked<T>(what: string, doing: Promise<T>): Promise<T> {
  try {
    return await doing;
  } catch (error) {
    throw unreachable(what, error);
  }
}

/** The stream's bytes; an error it meets before it is read counts too, and ends no process. */
export function bytesOf(body: Readable): AsyncIterable<Buffer> {
  body.on("error", () => {
    // Reading it throws this error.
  });
  return body;
}
