/** A MinIO of a test's own, built once for all runs; where it cannot be had, its tests are skipped in plain sight. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { ObjectStoreSettings } from "../../src/adapters/objects/store.js";

export interface Minio {
  readonly settings: ObjectStoreSettings;
  /** Ends it like a power failure. */
  kill(): Promise<void>;
  /** On the same port and data. */
  start(): Promise<void>;
}

interface StackModule {
  startStack(options: {
    dir: string;
    services: readonly string[];
    env: Record<string, string>;
  }): Promise<{
    env: Record<string, string>;
    services: { minio: { kill(): Promise<void>; start(): Promise<void> } };
    stop(options: { wipe: boolean }): Promise<void>;
  }>;
}
interface NativeModule {
  minio: {
    accounts: string[];
    whyNot(where: { account: unknown }): string | null;
  };
}
interface PlaceModule {
  accountFor(names: string[]): unknown;
}

const load = async <T>(path: string): Promise<T> =>
  (await import(pathToFileURL(resolve(path)).href)) as T;

/** Why it cannot run here; null when it can. */
export async function whyNoMinio(): Promise<string | null> {
  const { accountFor } = await load<PlaceModule>("deploy/native/place.mjs");
  const { minio } = await load<NativeModule>("deploy/native/minio.mjs");
  return minio.whyNot({ account: accountFor(minio.accounts) });
}

export async function withMinio<T>(
  work: (minio: Minio) => Promise<T>,
): Promise<T> {
  const { startStack } = await load<StackModule>("deploy/stack.mjs");
  const dir = await mkdtemp(join(tmpdir(), "twinstream-test-"));
  const { env, services, stop } = await startStack({
    dir,
    services: ["minio"],
    env: { TWINSTREAM_SERVICES: "native" },
  });
  try {
    return await work({
      settings: {
        STORAGE_TYPE: "minio",
        STORAGE_PATH: join(dir, "unused"),
        MINIO_ENDPOINT: env["MINIO_ENDPOINT"] ?? "",
        MINIO_ACCESS_KEY: env["MINIO_ACCESS_KEY"] ?? "",
        MINIO_SECRET_KEY: env["MINIO_SECRET_KEY"] ?? "",
        MINIO_BUCKET: newBucket(),
      },
      kill: () => services.minio.kill(),
      start: () => services.minio.start(),
    });
  } finally {
    await stop({ wipe: true });
    await rm(dir, { recursive: true, force: true });
  }
}

/** A bucket that no other test has. */
const newBucket = (): string => `test-${randomBytes(6).toString("hex")}`;
