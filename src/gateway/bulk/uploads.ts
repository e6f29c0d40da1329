/**
 * An upload, step by step: row `receiving` → object → row `stored` → claim check on the log → row `announced`. Whatever
 * breaks off leaves either nothing, or what the sweeper finishes: an upload that was answered with 202 is on the log.
 */
import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import { monotonicFactory } from "ulid";
import type { BulkRules } from "../../domain/bulk.js";
import {
  ABANDONED_MS,
  claimCheckRecord,
  objectKey,
  UPLOAD_MS,
} from "../../domain/claim-check.js";
import { TOPIC } from "../../domain/names.js";
import { reasonOf, TwinstreamError } from "../../errors.js";
import type {
  Clock,
  LogWriter,
  ObjectStore,
  Observer,
  UploadClaim,
  UploadDesk,
} from "../../ports.js";
import { inTime } from "../in-time.js";
import { refusal } from "../problems.js";
import { traceHeaders } from "../traces.js";
import { createContent } from "./content.js";
import { type Intake, openIntake } from "./intake.js";

/** What uploads stand on beside the log. */
export interface UploadDeps {
  readonly desk: UploadDesk;
  readonly objects: ObjectStore;
  readonly limits: UploadLimits;
}

export interface UploadLimits {
  /** BULK_MAX_BYTES. */
  readonly maxBytes: number;
  /** BULK_MAX_RATIO. */
  readonly maxRatio: number;
  /** BULK_MAX_CONCURRENT. */
  readonly maxConcurrent: number;
}

export interface Upload {
  readonly tenant: string;
  readonly userId: string;
  readonly requestId: string;
  readonly idempotencyKey: string | null;
  readonly body: Readable;
  readonly gzipped: boolean;
  /** Of the request's trace, for the claim check. */
  readonly traceparent?: string | undefined;
}

export interface Uploads {
  /** Answers the claim once its claim check is on the log; of a repeated upload the first one's. */
  receive(upload: Upload): Promise<UploadClaim>;
  /** For a gateway that closes: resolves once no upload is under way; what is still to be undone is left to the sweeper. */
  end(): Promise<void>;
}

/** Milliseconds the log may take to acknowledge a claim check. */
const APPEND_MS = 10_000;
/** Milliseconds after which what could not be undone is tried again. */
const UNDO_AGAIN_MS = 2000;

export function createUploads(
  deps: UploadDeps & {
    readonly log: LogWriter;
    readonly observer: Observer;
    readonly clock: Clock;
    /** What readings are held against. */
    readonly judge: BulkRules["judge"];
  },
): Uploads {
  const { desk, objects, log, observer, clock, limits } = deps;
  const nextId = monotonicFactory();
  const underWay = new Set<Promise<UploadClaim>>();
  const ending = new AbortController();

  async function receive(upload: Upload): Promise<UploadClaim> {
    const receivedMs = clock();
    const { begun, claim } = await desk.begin({
      claimId: nextId(receivedMs),
      tenant: upload.tenant,
      userId: upload.userId,
      requestId: upload.requestId,
      key: objectKey(receivedMs, randomUUID()),
      storageType: objects.type,
      idempotencyKey: upload.idempotencyKey,
      receivedMs,
    });
    return begun ? receiveNew(claim, upload) : receiveAgain(claim, upload);
  }

  async function receiveNew(
    claim: UploadClaim,
    upload: Upload,
  ): Promise<UploadClaim> {
    const rules = { judge: deps.judge, receivedUs: claim.receivedMs * 1000 };
    const intake = open(upload, rules);
    const sizes = await keep(claim, intake);
    const stored: UploadClaim = { ...claim, ...sizes, state: "stored" };
    await announce(stored, upload.traceparent);
    return stored;
  }

  /** The object and its row; when one of them fails, neither is left. */
  async function keep(
    claim: UploadClaim,
    intake: Intake,
  ): Promise<ReturnType<Intake["sizes"]>> {
    try {
      await objects.put(claim.key, intake.stored, {
        user_id: headerText(claim.userId),
        request_id: headerText(claim.requestId),
      });
      const sizes = intake.sizes();
      await desk.stored(claim.tenant, claim.claimId, sizes);
      return sizes;
    } catch (error) {
      intake.stored.destroy();
      await abandon(claim);
      throw intake.refused() ?? error;
    }
  }

  /**
   * What cannot be undone now is tried again for as long as a client must be told that it is still arriving, and left to the
   * sweeper by a gateway that ends. There are no more of them than arrive at a time: nothing begins while the database is away.
   */
  async function abandon(claim: UploadClaim): Promise<void> {
    try {
      await undo(claim);
    } catch (error) {
      observer.emit({
        type: "failure",
        where: `gateway: undoing upload ${claim.claimId}`,
        error: reasonOf(error),
      });
      void undoLater(claim);
    }
  }

  async function undoLater(claim: UploadClaim): Promise<void> {
    const { signal } = ending;
    while (clock() - claim.receivedMs < ABANDONED_MS) {
      try {
        await pause(UNDO_AGAIN_MS, undefined, { signal, ref: false });
        return await undo(claim);
      } catch {
        // Told of once, above.
        if (signal.aborted) return;
      }
    }
  }

  /** The row goes first, since an object without a row harms nobody. */
  async function undo({ tenant, claimId, key }: UploadClaim): Promise<void> {
    if (await desk.forget(tenant, claimId)) await objects.remove(key);
  }

  /** The body is read to its end, so that the client gets to see the answer, and so that its size can be compared. */
  async function receiveAgain(
    claim: UploadClaim,
    upload: Upload,
  ): Promise<UploadClaim> {
    if (claim.state === "receiving")
      throw refusal(
        "UPLOAD_UNDER_WAY",
        `the upload with Idempotency-Key ${claim.idempotencyKey} is still arriving; ask again later`,
      );
    const intake = open(upload, null);
    try {
      await finished(intake.stored.resume());
    } catch (error) {
      throw intake.refused() ?? error;
    }
    const { originalSize } = intake.sizes();
    if (originalSize !== claim.originalSize)
      throw refusal(
        "IDEMPOTENCY_KEY_TAKEN",
        `this Idempotency-Key belongs to claim ${claim.claimId}, an upload of ${claim.originalSize} bytes uncompressed; this one has ${originalSize}. Use a key of its own`,
      );
    if (claim.state === "stored" && !claim.announced)
      await announce(claim, upload.traceparent);
    return claim;
  }

  const open = (upload: Upload, rules: BulkRules | null): Intake =>
    openIntake(upload.body, {
      gzipped: upload.gzipped,
      content: createContent(limits.maxBytes, rules),
      maxRatio: limits.maxRatio,
      totalMs: UPLOAD_MS,
    });

  async function announce(
    claim: UploadClaim,
    traceparent?: string,
  ): Promise<void> {
    const record = {
      ...claimCheckRecord(claim),
      ...traceHeaders(traceparent),
    };
    try {
      const appended = log.append(TOPIC.uploads, [record]);
      await inTime(appended, APPEND_MS, "LOG_UNREACHABLE");
    } catch (error) {
      if (!(error instanceof TwinstreamError) || !error.canRetry) throw error;
      throw refusal(
        error.code,
        `the upload is kept as claim ${claim.claimId} and goes on by itself once the log answers; to send it again makes another claim, unless it has the same Idempotency-Key`,
        [],
        { cause: error },
      );
    }
    try {
      await desk.announced(claim.tenant, claim.claimId);
    } catch (error) {
      // The log has it, and that counts: the sweeper will announce it once more, which changes nothing.
      observer.emit({
        type: "failure",
        where: `gateway: noting that claim ${claim.claimId} is on the log`,
        error: reasonOf(error),
      });
    }
  }

  return {
    async receive(upload) {
      if (underWay.size >= limits.maxConcurrent)
        throw refusal(
          "TOO_MANY_UPLOADS",
          `${limits.maxConcurrent} uploads are arriving already; try again later`,
        );
      const receiving = receive(upload);
      underWay.add(receiving);
      try {
        return await receiving;
      } finally {
        underWay.delete(receiving);
      }
    },
    async end() {
      ending.abort();
      await Promise.allSettled(underWay);
    },
  };
}

/** Object metadata travels as HTTP headers. */
const headerText = (text: string): string =>
  /^[\x20-\x7e]*$/.test(text) ? text : encodeURIComponent(text);
