/** A filesystem store in a folder of its own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFilesystemStore } from "../../src/adapters/objects/filesystem.js";
import type { ObjectStore } from "../../src/ports.js";

export interface FolderStore {
  readonly store: ObjectStore;
  /** The store's folder; beside it, in the same one, there is room for a test's own files. */
  readonly folder: string;
}

export async function withFolderStore(
  work: (under: FolderStore) => Promise<void>,
): Promise<void> {
  const place = await mkdtemp(join(tmpdir(), "twinstream-test-"));
  const folder = join(place, "objects");
  const store = createFilesystemStore({ folder });
  try {
    await store.prepare(7);
    await work({ store, folder });
  } finally {
    await store.close();
    await rm(place, { recursive: true, force: true });
  }
}
