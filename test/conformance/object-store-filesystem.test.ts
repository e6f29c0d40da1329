/** The object store's contract, in a folder; and what is a folder's own. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import {
  mkdir,
  readdir,
  readFile,
  rename,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createFilesystemStore } from "../../src/adapters/objects/filesystem.js";
import { checkObjects } from "../../src/adapters/objects/objects-check.js";
import { TwinstreamError } from "../../src/errors.js";
import { until } from "../support/wait.js";
import { withFolderStore } from "./object-store-folder.js";
import {
  bytesIn,
  codeOf,
  keysIn,
  newKey,
  noise,
  objectStoreSuite,
  streamOf,
} from "./object-store.js";

const MIB = 2 ** 20;

const test = suite("object store: filesystem, its own");

test("an object is a file at its key, with its metadata as JSON beside it", () =>
  withFolderStore(async ({ store, folder }) => {
    const key = newKey();
    await store.put(key, streamOf("bytes"), { user_id: "u" });
    assert.is(await readFile(join(folder, key), "utf8"), "bytes");
    assert.is(
      await readFile(join(folder, `${key}.meta.json`), "utf8"),
      '{"user_id":"u"}',
    );
    assert.equal(await readdir(join(folder, ".incoming")), []);
  }));

test("removing the last object of a folder removes the folder, and no other one", () =>
  withFolderStore(async ({ store, folder }) => {
    const keys = ["telemetry/a/1.gz", "telemetry/a/2.gz", "telemetry/b/1.gz"];
    for (const key of keys) await store.put(key, streamOf("x"), {});
    await store.remove("telemetry/a/1.gz");
    assert.ok(existsSync(join(folder, "telemetry/a")));
    await store.remove("telemetry/a/2.gz");
    assert.equal(await readdir(join(folder, "telemetry")), ["b"]);
    await store.remove("telemetry/b/1.gz");
    assert.equal(await readdir(folder), [".incoming"]);
    await store.ping();
  }));

test("no link inside leads out of it, neither a file's nor a folder's", () =>
  withFolderStore(async ({ store, folder }) => {
    const outside = join(dirname(folder), "outside");
    await mkdir(outside);
    await writeFile(join(outside, "secret.gz"), "secret");
    await store.put("telemetry/a/1.gz", streamOf("x"), {});
    await symlink(outside, join(folder, "telemetry/link"));
    await symlink(
      join(outside, "secret.gz"),
      join(folder, "telemetry/a/secret.gz"),
    );
    for (const key of ["telemetry/link/secret.gz", "telemetry/a/secret.gz"]) {
      assert.is(await codeOf(store.get(key)), "NOT_FOUND", key);
      assert.is(await store.head(key), null, key);
      await store.remove(key);
    }
    for (const key of ["telemetry/link/new.gz", "telemetry/link/sub/new.gz"])
      assert.is(
        await codeOf(store.put(key, streamOf("x"), {})),
        "OBJECTS_UNREACHABLE",
        key,
      );
    assert.equal(await keysIn(store), ["telemetry/a/1.gz"]);
    assert.equal(await readdir(outside), ["secret.gz"]);
    assert.is(await readFile(join(outside, "secret.gz"), "utf8"), "secret");
  }));

test("a folder that is tidied away while an object comes to it is made again", () =>
  withFolderStore(async ({ store, folder }) => {
    // Each leaves the folder empty again and again, under the others' feet.
    const turns = async (name: string): Promise<void> => {
      for (let turn = 0; turn < 100; turn++) {
        await store.put(`telemetry/a/${name}.gz`, streamOf("x"), {});
        await store.remove(`telemetry/a/${name}.gz`);
      }
    };
    await Promise.all(["1", "2", "3"].map(turns));
    assert.equal(await readdir(folder), [".incoming"]);
  }));

test("no file stays open once its reader has gone, read or not", () =>
  withFolderStore(async ({ store }) => {
    const key = newKey();
    await store.put(key, Readable.from(noise(4 * MIB)), {});
    const open = async (): Promise<number> =>
      (await readdir("/proc/self/fd")).length;
    if (!existsSync("/proc/self/fd")) return;
    const before = await open();
    for (let turn = 0; turn < 30; turn++) (await store.get(key)).destroy();
    for (let turn = 0; turn < 30; turn++)
      for await (const chunk of await store.get(key)) {
        assert.ok(chunk);
        break;
      }
    assert.is(await codeOf(store.get("telemetry")), "NOT_FOUND");
    // Soon: the garbage collector would close them too, some time.
    await until(async () => (await open()) <= before, {
      withinMs: 500,
      what: "the files to be closed",
    });
  }));

test("the folder itself may be a link", () =>
  withFolderStore(async ({ folder }) => {
    const link = join(dirname(folder), "link");
    await symlink(folder, link);
    const store = createFilesystemStore({ folder: link });
    await store.put("telemetry/a/1.gz", streamOf("x"), {});
    assert.is((await bytesIn(await store.get("telemetry/a/1.gz"))).length, 1);
    assert.equal(await keysIn(store), ["telemetry/a/1.gz"]);
  }));

test("the sweep removes what a dead writer has left, and nothing that is still coming in", () =>
  withFolderStore(async ({ store, folder }) => {
    const incoming = join(folder, ".incoming");
    const old = new Date(Date.now() - 3_600_000);
    for (const name of ["dead", "dead.meta.json", "young"])
      await writeFile(join(incoming, name), "x");
    for (const name of ["dead", "dead.meta.json"])
      await utimes(join(incoming, name), old, old);
    await store.put("telemetry/a/1.gz", streamOf("x"), {});
    await utimes(join(folder, "telemetry/a/1.gz"), old, old);
    assert.is(await store.sweep(Date.now() - 60_000), 1);
    assert.equal(await readdir(incoming), ["young"]);
    assert.is(await store.sweep(Date.now() - 60_000), 0);
    assert.equal(await keysIn(store, "", Date.now() - 60_000), [
      "telemetry/a/1.gz",
    ]);
  }));

test("while its folder is away nothing is called not found", () =>
  withFolderStore(async ({ store, folder }) => {
    const key = newKey();
    await store.put(key, streamOf("x"), {});
    // An empty mount point looks like this.
    await rename(folder, `${folder}.away`);
    await mkdir(folder);
    const codes = await Promise.all(
      [
        store.get(key),
        store.head(key),
        store.remove(key),
        store.put(newKey(), streamOf("x"), {}),
        store.sweep(Date.now()),
        keysIn(store),
        store.ping(),
      ].map(codeOf),
    );
    assert.equal([...new Set(codes)], ["OBJECTS_UNREACHABLE"]);
    assert.equal(await readdir(folder), []);
  }));

test("the check says of a folder that it can be written or will be made, and how much room there is", () =>
  withFolderStore(async ({ folder }) => {
    const settings = {
      STORAGE_TYPE: "filesystem" as const,
      MINIO_ENDPOINT: "",
      MINIO_ACCESS_KEY: "",
      MINIO_SECRET_KEY: "",
      MINIO_BUCKET: "",
    };
    const lookAt = async (path: string): Promise<string> =>
      (await checkObjects({ ...settings, STORAGE_PATH: path }))
        .map(({ found }) => found)
        .join("; ");
    assert.match(await lookAt(folder), /^is a folder that can be written; has/);
    const unmade = join(dirname(folder), "not/yet/there");
    assert.match(
      await lookAt(unmade),
      /^is a folder that the first start makes; has [\d.]+ GiB of room in /,
    );
    assert.not(existsSync(unmade));
    const file = join(dirname(folder), "file");
    await writeFile(file, "");
    assert.is(await codeOf(lookAt(join(file, "x"))), "OBJECTS_UNREACHABLE");
  }));

test("metadata that a hand has spoilt takes nothing from the object", () =>
  withFolderStore(async ({ store, folder }) => {
    await store.put("a/1.gz", streamOf("x"), { user_id: "u" });
    await writeFile(join(folder, "a/1.gz.meta.json"), "{");
    assert.equal((await store.head("a/1.gz"))?.metadata, {});
    assert.is((await bytesIn(await store.get("a/1.gz"))).toString(), "x");
  }));

/** Mounts 4 MiB of memory at a folder; false where that is not allowed. */
const mounted = (folder: string): boolean =>
  spawnSync("/bin/mount", [
    "-t",
    "tmpfs",
    "-o",
    "size=4m",
    "twinstream-test",
    folder,
  ]).status === 0;

const whyNoMount = await (async (): Promise<string | null> => {
  let why: string | null = "mounting a small file system is not allowed here";
  await withFolderStore(async ({ folder }) => {
    if (!mounted(folder)) return;
    spawnSync("/bin/umount", [folder]);
    why = null;
  });
  return why;
})();
if (whyNoMount !== null)
  console.log(`skipped: object store on a full disk: ${whyNoMount}`);

(whyNoMount === null ? test : test.skip)(
  "a full disk says so, may be tried again, and leaves nothing but room",
  () =>
    withFolderStore(async ({ store, folder }) => {
      assert.ok(mounted(folder));
      try {
        await store.prepare(7);
        const put = (key: string, bytes: number): Promise<unknown> =>
          store.put(key, Readable.from(noise(bytes)), {});
        await put("a/1.gz", MIB);
        const refused = await put("a/2.gz", 20 * MIB).then(
          () => null,
          (error: unknown) => error,
        );
        assert.ok(refused instanceof TwinstreamError);
        assert.is(refused.code, "OBJECTS_UNREACHABLE");
        assert.ok(refused.canRetry);
        assert.match(refused.message, "ENOSPC");
        assert.equal(await keysIn(store), ["a/1.gz"]);
        assert.equal(await readdir(join(folder, ".incoming")), []);
        await put("a/3.gz", 2 * MIB);
        await writeFile(join(folder, "filler"), Buffer.alloc(MIB)).catch(
          () => null,
        );
        while (await grown(join(folder, "filler")));
        assert.is(await codeOf(store.ping()), "OBJECTS_UNREACHABLE");
        assert.is((await bytesIn(await store.get("a/1.gz"))).length, MIB);
      } finally {
        spawnSync("/bin/umount", [folder]);
      }
    }),
);

/** Whether a page more fitted. */
async function grown(path: string): Promise<boolean> {
  return writeFile(path, Buffer.alloc(4096), { flag: "a" }).then(
    () => true,
    () => false,
  );
}

objectStoreSuite("filesystem", (work) =>
  withFolderStore(({ store }) => work(store)),
).run();
test.run();
