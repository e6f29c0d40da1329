/**
 * The uploads of a fleet: one soon after the start and one each so often. One that fails, or whose answer is lost, is sent
 * again when the next is due, with the same idempotency key, so that it is one claim however often it was sent.
 */
import { hash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { reasonOf } from "../errors.js";
import {
  type GatewayAccount,
  type GatewayAnswer,
  openGatewaySession,
  told,
} from "./gateway-session.js";
import { type Ledger, type Outcome, uploadLine } from "./ledger.js";
import { type UploadBody, uploadBody } from "./upload-body.js";

export interface UploadSettings {
  /** The gateway's address. */
  readonly url: string;
  /** Null where the gateway asks for no log-in. */
  readonly account: GatewayAccount | null;
  readonly everySeconds: number;
  readonly deviceIds: readonly string[];
  readonly ledger: Ledger | null;
  /** Hears of each upload that failed, in a line. */
  readonly notice: (text: string) => void;
  /** Seconds from the start to the first upload, where they are not those of a user at a screen. */
  readonly firstSeconds?: number;
}

export interface UploadTally {
  /** Uploads that the gateway has taken: each is a claim. */
  readonly accepted: number;
  /** Tries that came to nothing. */
  readonly failed: number;
  /** In the accepted ones. */
  readonly readings: number;
}

export interface RunningUploads {
  tally(): UploadTally;
  /** Ends; what is under way gets so many seconds for its answer. */
  stop(graceSeconds: number): Promise<void>;
}

interface Waiting extends UploadBody {
  readonly key: string;
  readonly sha256: string;
  readonly gzipped: Buffer;
}

/** A newcomer who has just started everything is looking. */
const FIRST_SECONDS = 3;
/** Longest that one upload may take. */
const DEADLINE_MS = 60_000;
const ACCEPTED = 202;
/** Refused, and yet the same bytes may be taken later: not logged in, too slow, still arriving, too many. */
const LATER = new Set([401, 403, 408, 409, 429]);

export function startUploads(settings: UploadSettings): RunningUploads {
  const { ledger } = settings;
  const session = openGatewaySession(settings.url, settings.account);
  const startMs = Date.now();
  const everyMs = settings.everySeconds * 1000;
  const tally = { accepted: 0, failed: 0, readings: 0 };
  const end = new AbortController();
  let coveredMs = startMs - everyMs;
  let made = 0;
  let waiting: Waiting | null = null;
  let underWay: Promise<void> | null = null;
  let timer = setTimeout(due, (settings.firstSeconds ?? FIRST_SECONDS) * 1000);

  function due(): void {
    timer = setTimeout(due, everyMs);
    underWay ??= upload().finally(() => {
      underWay = null;
    });
  }

  /** What has been measured since the one before. */
  function next(): Waiting {
    const nowMs = Date.now();
    const body = uploadBody(settings.deviceIds, coveredMs, nowMs);
    coveredMs = nowMs;
    made += 1;
    return {
      ...body,
      key: `simulator-${startMs}-${made}`,
      sha256: hash("sha256", body.text),
      gzipped: gzipSync(body.text),
    };
  }

  async function upload(): Promise<void> {
    const one = waiting ?? next();
    // Less than a second has passed.
    if (one.readings === 0) return;
    waiting = one;
    const sentMs = Date.now();
    let answer: GatewayAnswer | null = null;
    let failure = "";
    try {
      answer = await session.post(
        "/api/v1/telemetry/bulk",
        one.gzipped,
        { "content-encoding": "gzip", "idempotency-key": one.key },
        AbortSignal.any([end.signal, AbortSignal.timeout(DEADLINE_MS)]),
      );
      if (answer.status !== ACCEPTED) failure = told(answer);
    } catch (error) {
      failure = reasonOf(error);
    }
    const outcome = outcomeOf(answer);
    ledger?.write(
      uploadLine({
        class: "upload",
        key: one.key,
        claim: claimIn(answer),
        readings: one.readings,
        sha256: one.sha256,
        outcome,
        status: answer?.status ?? null,
        tSend: sentMs,
        tAnswer: answer === null ? null : Date.now(),
      }),
    );
    const again = answer === null || isForLater(answer.status);
    if (!again) waiting = null;
    if (outcome === "acked") {
      tally.accepted += 1;
      tally.readings += one.readings;
      return;
    }
    tally.failed += 1;
    settings.notice(
      `upload of ${one.readings} readings failed: ${failure}; ${again ? "it is sent again" : "another is made"} in ${settings.everySeconds} s`,
    );
  }

  return {
    tally: () => ({ ...tally }),
    async stop(graceSeconds) {
      clearTimeout(timer);
      const late = setTimeout(() => end.abort(), graceSeconds * 1000);
      await underWay;
      clearTimeout(late);
    },
  };
}

function claimIn(answer: GatewayAnswer | null): string | null {
  const id = answer?.body["claim_id"];
  return typeof id === "string" ? id : null;
}

const isForLater = (status: number): boolean =>
  status >= 500 || LATER.has(status);

/** As with messages: without a clear answer it may be there or not. */
function outcomeOf(answer: GatewayAnswer | null): Outcome {
  if (answer === null || answer.status >= 500) return "unknown";
  return answer.status === ACCEPTED ? "acked" : "refused";
}
