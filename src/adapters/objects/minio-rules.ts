/**
 * The bucket's own rule, for what nobody sweeps any more: objects go in the end, and the parts of uploads that broke off
 * sooner. A bucket knows no claims, so the rule comes long after the sweeper, which does: until then the object of a claim
 * that is still open stays.
 */
import type { LifecycleRule } from "minio";
import { codeOf } from "./failure.js";
import type { MinioLink } from "./minio-client.js";

const OURS = "twinstream-uploads";
const PREFIX = "telemetry/";
/** Days beyond the retention: four times what a claim check stays on the log, and a worker may be away for. */
const OPEN_DAYS = 28;
/** MinIO takes this and does not keep it; it drops such parts after a day by itself. */
const INCOMPLETE_DAYS = 1;

/**
 * Sets the rule, unless it is set already, and leaves others' rules as they are. A store that knows no rules says so
 * through `note`; whoever lists old objects removes them all the same.
 * @throws TwinstreamError OBJECTS_UNREACHABLE when the store does not answer
 */
export async function setRules(
  link: MinioLink,
  bucket: string,
  retentionDays: number,
  note: (text: string) => void,
): Promise<void> {
  const { client, where } = link;
  const days = retentionDays + OPEN_DAYS;
  try {
    const rules = await rulesOf(link, bucket);
    const ours = rules.find(({ ID }) => ID === OURS);
    if (ours?.Expiration?.Days === days) return;
    await client.setBucketLifecycle(bucket, {
      Rule: [
        ...rules.filter((rule) => rule !== ours),
        {
          ID: OURS,
          Status: "Enabled",
          Filter: { Prefix: PREFIX },
          Expiration: { Days: days },
          AbortIncompleteMultipartUpload: {
            DaysAfterInitiation: INCOMPLETE_DAYS,
          },
        },
      ],
    });
  } catch (error) {
    const code = codeOf(error);
    if (!REFUSALS.has(code)) throw error;
    note(
      `${where} takes no rule that drops old uploads (${code}); twinstream removes them itself`,
    );
  }
}

/** What a store answers that knows no such rules, or does not let these keys set them. */
const REFUSALS = new Set([
  "NotImplemented",
  "MethodNotAllowed",
  "AccessDenied",
  "InvalidArgument",
  "InvalidRequest",
  "MalformedXML",
]);

async function rulesOf(
  { client }: MinioLink,
  bucket: string,
): Promise<LifecycleRule[]> {
  try {
    // The client's XML reader gives one rule by itself, several as an array.
    const found = (await client.getBucketLifecycle(bucket)) as {
      Rule?: LifecycleRule | LifecycleRule[];
    } | null;
    return [found?.Rule ?? []].flat();
  } catch (error) {
    if (codeOf(error) === "NoSuchLifecycleConfiguration") return [];
    throw error;
  }
}
