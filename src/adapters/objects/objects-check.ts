/** Whether uploads can be kept where the settings say. */
import { access, constants, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { advice, type Finding, fine, wrong } from "../../domain/finding.js";
import { codeOf, unreachable } from "./failure.js";
import { INCOMING } from "./filesystem.js";
import { connectMinio } from "./minio-client.js";
import type { ObjectStoreSettings } from "./store.js";

const SILENCE_MS = 5000;
const GIB = 2 ** 30;
/** Less room than one large upload and what surrounds it. */
const LITTLE_BYTES = 2 * GIB;

/** Changes nothing. @throws TwinstreamError OBJECTS_UNREACHABLE, CONFIG_INVALID */
export async function checkObjects(
  settings: ObjectStoreSettings,
): Promise<Finding[]> {
  return settings.STORAGE_TYPE === "filesystem"
    ? checkFolder(resolve(settings.STORAGE_PATH))
    : checkBucket(settings);
}

async function checkFolder(folder: string): Promise<Finding[]> {
  const made = await isThere(join(folder, INCOMING));
  // What is not there yet is made in the nearest folder above it.
  let place = made ? join(folder, INCOMING) : folder;
  while (!(await isThere(place))) place = dirname(place);
  try {
    await access(place, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    return [
      wrong(
        `cannot be written: ${place} (${codeOf(error)})`,
        "let the account that runs the roles write there, or set STORAGE_PATH to where it may",
      ),
    ];
  }
  const { bavail, bsize } = await statfs(place);
  const room = bavail * bsize;
  const text = `${(room / GIB).toFixed(1)} GiB of room in ${folder}`;
  return [
    made
      ? fine("is a folder that can be written")
      : fine("is a folder that the first start makes"),
    room < LITTLE_BYTES
      ? advice(`has ${text}`, "make room, or move STORAGE_PATH")
      : fine(`has ${text}`),
  ];
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") return false;
    throw unreachable(`could not look at ${path}`, error);
  }
}

async function checkBucket(settings: ObjectStoreSettings): Promise<Finding[]> {
  const { MINIO_BUCKET: bucket } = settings;
  const link = connectMinio({
    endpoint: settings.MINIO_ENDPOINT,
    caFile: settings.MINIO_TLS_CA,
    accessKey: settings.MINIO_ACCESS_KEY,
    secretKey: settings.MINIO_SECRET_KEY,
    bucket,
    silenceMs: SILENCE_MS,
  });
  try {
    return [
      (await link.call("ping", () => link.client.bucketExists(bucket)))
        ? fine(`has the bucket ${bucket}, and takes these keys`)
        : advice(
            `takes these keys, and has no bucket ${bucket} yet`,
            "nothing has to be done if they may make it: the first start does; else make it",
          ),
    ];
  } finally {
    link.close();
  }
}
