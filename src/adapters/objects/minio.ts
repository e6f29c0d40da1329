/** Objects in a bucket of MinIO, or of another store that speaks S3. */
import type { IncomingMessage } from "node:http";
import { TwinstreamError } from "../../errors.js";
import type { ObjectStore } from "../../ports.js";
import { codeOf, readingFrom } from "./failure.js";
import {
  asciiOf,
  checkedKey,
  checkedMetadata,
  checkedPrefix,
  textOf,
} from "./keys.js";
import { connectMinio, type MinioOptions } from "./minio-client.js";
import { createMultipart } from "./minio-put.js";
import { setRules } from "./minio-rules.js";

const META = "x-amz-meta-";
const PAGE = 1000;

/** @throws TwinstreamError CONFIG_INVALID */
export function createMinioStore(
  options: MinioOptions & {
    /** Hears, once, that the store takes no rule for retention. */
    readonly note: (text: string) => void;
  },
): ObjectStore {
  const { bucket } = options;
  const note = once(options.note);
  const link = connectMinio(options);
  const { client, call, where } = link;
  const multipart = createMultipart(link, bucket);

  async function ping(): Promise<void> {
    if (await call("ping", () => client.bucketExists(bucket))) return;
    throw new TwinstreamError(
      "OBJECTS_UNREACHABLE",
      `${where}: there is no such bucket; a gateway or worker makes it when it starts`,
    );
  }

  /** What is left of broken uploads, a page at a time. */
  async function* incomplete(): AsyncGenerator<{
    key: string;
    uploadId: string;
    begunMs: number;
  }> {
    let [key, id] = ["", ""];
    do {
      // MinIO lists them for the whole bucket or for one key, not by prefix.
      const page = await call("list broken uploads", () =>
        client.listIncompleteUploadsQuery(bucket, "", key, id, ""),
      );
      for (const one of page.uploads)
        yield {
          key: one.key,
          uploadId: one.uploadId,
          begunMs: one.initiated.getTime(),
        };
      [key, id] = page.isTruncated
        ? [page.nextKeyMarker, page.nextUploadIdMarker]
        : ["", ""];
    } while (key !== "");
  }

  return {
    type: "minio",

    async put(key, body, metadata) {
      body.on("error", () => {
        // Reading it throws this error.
      });
      try {
        const headers = headersOf(checkedMetadata(metadata));
        return { bytes: await multipart.put(checkedKey(key), body, headers) };
      } catch (error) {
        body.destroy();
        throw error;
      }
    },

    async get(key) {
      checkedKey(key);
      const what = `get ${key}`;
      const response = await call(what, () => client.getObject(bucket, key));
      // From here on it is silent for as long as nobody reads.
      (response as IncomingMessage).socket.setTimeout(0);
      return readingFrom(`${where}: ${what}`, response, link.silenceMs);
    },

    async head(key) {
      checkedKey(key);
      const found = await call(`head ${key}`, async () => {
        try {
          return await client.statObject(bucket, key);
        } catch (error) {
          if (codeOf(error) === "NotFound") return null;
          throw error;
        }
      });
      if (found !== null)
        return {
          key,
          bytes: found.size,
          modifiedMs: found.lastModified.getTime(),
          metadata: metadataOf(found.metaData as Record<string, string>),
        };
      // An answer without a body: it may be the bucket that is not there.
      await ping();
      return null;
    },

    async remove(key) {
      checkedKey(key);
      await call(`remove ${key}`, () => client.removeObject(bucket, key));
    },

    async *list(prefix, modifiedBeforeMs) {
      checkedPrefix(prefix);
      let next = "";
      do {
        const from = next;
        const page = await call("list", () =>
          client.listObjectsV2Query(bucket, prefix, from, "", PAGE, ""),
        );
        for (const { name, size, lastModified } of page.objects) {
          if (name === undefined) continue;
          const modifiedMs = lastModified.getTime();
          if (modifiedMs < modifiedBeforeMs)
            yield { key: name, bytes: size, modifiedMs };
        }
        next = page.isTruncated ? page.nextContinuationToken : "";
      } while (next !== "");
    },

    async sweep(begunBeforeMs) {
      let removed = 0;
      for await (const { key, uploadId, begunMs } of incomplete()) {
        if (begunMs >= begunBeforeMs || multipart.isSending(uploadId)) continue;
        await call(`forget parts of ${key}`, () =>
          client.abortMultipartUpload(bucket, key, uploadId),
        );
        removed += 1;
      }
      return removed;
    },

    async prepare(retentionDays) {
      await call("prepare", async () => {
        if (!(await client.bucketExists(bucket))) await makeBucket();
        await setRules(link, bucket, retentionDays, note);
      });
    },

    ping,
    // S3 has no word for it.
    free: async () => null,
    async close() {
      link.close();
    },
  };

  async function makeBucket(): Promise<void> {
    try {
      await client.makeBucket(bucket);
    } catch (error) {
      // Another process was quicker.
      if (codeOf(error) !== "BucketAlreadyOwnedByYou") throw error;
    }
  }
}

function once(note: (text: string) => void): (text: string) => void {
  let noted = false;
  return (text) => {
    if (!noted) note(text);
    noted = true;
  };
}

function headersOf(
  metadata: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [
      META + name,
      asciiOf(value),
    ]),
  );
}

/** The client has taken the prefix off; other headers are no metadata of ours. */
function metadataOf(found: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(found)
      .filter(([name]) => name !== "content-type")
      .map(([name, value]) => [name, textOf(value)]),
  );
}
