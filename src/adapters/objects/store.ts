/** The object store that the settings name. */
import type { ObjectStore } from "../../ports.js";
import { createFilesystemStore } from "./filesystem.js";
import { createMinioStore } from "./minio.js";

/** By their names as settings. */
export interface ObjectStoreSettings {
  readonly STORAGE_TYPE: ObjectStore["type"];
  readonly STORAGE_PATH: string;
  readonly MINIO_ENDPOINT: string;
  readonly MINIO_TLS_CA?: string;
  readonly MINIO_ACCESS_KEY: string;
  readonly MINIO_SECRET_KEY: string;
  readonly MINIO_BUCKET: string;
}

/**
 * Nothing is connected or made before the first call; `prepare` comes first.
 * @param note hears, once each, what the store cannot do and the program does without
 * @throws TwinstreamError CONFIG_INVALID
 */
export function createObjectStore(
  settings: ObjectStoreSettings,
  note: (text: string) => void,
): ObjectStore {
  if (settings.STORAGE_TYPE === "filesystem")
    return createFilesystemStore({ folder: settings.STORAGE_PATH });
  return createMinioStore({
    endpoint: settings.MINIO_ENDPOINT,
    caFile: settings.MINIO_TLS_CA,
    accessKey: settings.MINIO_ACCESS_KEY,
    secretKey: settings.MINIO_SECRET_KEY,
    bucket: settings.MINIO_BUCKET,
    note,
  });
}
