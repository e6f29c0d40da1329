/**
 * The closed tables of what can go wrong. A code says in one place what happened, whether trying again may help, and what
 * a person can do. Nothing here imports anything.
 */

/** Why a message or reading was kept as a dead letter instead of being stored (the closed list of the contracts, 1.2). */
export const DEAD_LETTER_REASONS = [
  "parse_error",
  "invalid_schema",
  "unknown_schema",
  "unknown_tenant",
  "bad_topic",
  "bad_timestamp",
  "too_old",
  "too_large",
  "wrong_partition",
  "actor_crash",
  "quarantined",
  "row_refused",
  "conflict",
  "bulk_invalid",
] as const;
export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number];

interface ErrorEntry {
  /** What happened, and what to do about it. */
  readonly message: string;
  /** Whether the same call may succeed later without anyone changing anything. */
  readonly canRetry: boolean;
  /** HTTP status where the gateway shows it. */
  readonly status?: number;
}

export const ERRORS = {
  CONFIG_INVALID: {
    message: "a setting is missing or has a value it may not have",
    canRetry: false,
  },
  LOG_UNREACHABLE: {
    message: "the log (KAFKA_BROKERS) does not answer",
    canRetry: true,
    status: 503,
  },
  VIEW_UNREACHABLE: {
    message: "Redis (REDIS_URL) does not answer",
    canRetry: true,
    status: 503,
  },
  STORE_UNREACHABLE: {
    message: "the database (DATABASE_URL) does not answer",
    canRetry: true,
    status: 503,
  },
  STORE_REFUSED: {
    message: "the database refused a statement for what it contains",
    canRetry: false,
  },
  STORE_NOT_MIGRATED: {
    message: "the database has no twinstream schema; run: twinstream migrate",
    canRetry: false,
    status: 503,
  },
  OBJECTS_UNREACHABLE: {
    message:
      "the object store (STORAGE_TYPE, MINIO_ENDPOINT) does not answer or is full",
    canRetry: true,
    status: 503,
  },
  BROKER_UNREACHABLE: {
    message: "the MQTT broker (MQTT_URL) does not answer",
    canRetry: true,
    status: 503,
  },
  BROKER_NO_ACCOUNTS: {
    message:
      "the MQTT broker's accounts cannot be managed from here: that takes Mosquitto with its dynamic security plugin, and its control user in MQTT_ADMIN_URL; make the account with the broker's own tools",
    canRetry: false,
    status: 409,
  },
  FENCED: {
    message:
      "another processor has claimed this partition; its flushes count, this one's do not",
    canRetry: false,
  },
  POSITION_BEYOND_LOG: {
    message:
      "the stored offset lies beyond the end of the log: the log was wiped or the database belongs to another one; see: twinstream offsets adopt|rewind",
    canRetry: false,
  },
  OTHER_CLUSTER: {
    message:
      "the stored offsets belong to another cluster; see: twinstream offsets adopt|rewind",
    canRetry: false,
  },
  NOTHING_STORED: {
    message:
      "the database has stored nothing of what the consumer group has worked off: it was wiped, or is another one; see: twinstream offsets adopt",
    canRetry: false,
  },
  OTHER_RECORD: {
    message:
      "the log holds another record at the stored offset than the one that was stored; see: twinstream offsets adopt|rewind",
    canRetry: false,
  },
  NOT_FOUND: {
    message: "there is no such thing",
    canRetry: false,
    status: 404,
  },
  BAD_REQUEST: {
    message: "the request is not of the form this route takes",
    canRetry: false,
    status: 400,
  },
  UNAUTHENTICATED: {
    message:
      "the request needs a valid access token, sent as Authorization: Bearer; POST /api/v1/auth/login gives one",
    canRetry: false,
    status: 401,
  },
  LOGIN_REFUSED: {
    message:
      "the user name or password is wrong, or the user is disabled or locked out for a while after repeated failures",
    canRetry: false,
    status: 401,
  },
  FORBIDDEN: {
    message: "the user's role does not allow this",
    canRetry: false,
    status: 403,
  },
  RATE_LIMITED: {
    message:
      "too many requests; the Retry-After header says when to come again",
    canRetry: true,
    status: 429,
  },
  DEVICE_OFFLINE: {
    message:
      'the device is offline; send the command again when it is online, or with "queue": true to have it wait',
    canRetry: true,
    status: 409,
  },
  DEVICE_UNKNOWN: {
    message: "no device of this id has been seen",
    canRetry: false,
    status: 404,
  },
  CREDENTIALS_EXIST: {
    message:
      "the device has credentials already; rotate them for a new user name and password",
    canRetry: false,
    status: 409,
  },
  CREDENTIALS_UNKNOWN: {
    message: "the device has no such credentials; add them first",
    canRetry: false,
    status: 404,
  },
  COMMAND_UNKNOWN: {
    message: "no command of this id was given to this device",
    canRetry: false,
    status: 404,
  },
  COMMAND_ENDED: {
    message: "the command has ended and can no longer be canceled",
    canRetry: false,
    status: 409,
  },
  METHOD_NOT_ALLOWED: {
    message:
      "this address does not take this method; the Allow header names those it takes",
    canRetry: false,
    status: 405,
  },
  UNSUPPORTED_MEDIA_TYPE: {
    message: "the body must be JSON, sent as content-type: application/json",
    canRetry: false,
    status: 415,
  },
  TOO_SLOW: {
    message: "the answer took longer than the gateway waits; try again later",
    canRetry: true,
    status: 503,
  },
  TOO_LARGE: {
    message: "the request is larger than this route takes",
    canRetry: false,
    status: 413,
  },
  BODY_TOO_SLOW: {
    message: "the body arrived too slowly; send it again over a better line",
    canRetry: true,
    status: 408,
  },
  UPLOAD_UNDER_WAY: {
    message:
      "an upload with this Idempotency-Key is still arriving; ask again later",
    canRetry: true,
    status: 409,
  },
  IDEMPOTENCY_KEY_TAKEN: {
    message:
      "this Idempotency-Key belongs to another request; use a key of its own for each",
    canRetry: false,
    status: 422,
  },
  TOO_MANY_UPLOADS: {
    message:
      "as many uploads are arriving as the gateway takes at a time (BULK_MAX_CONCURRENT); try again later",
    canRetry: true,
    status: 503,
  },
  TOO_MANY_SEARCHES: {
    message:
      "as many searches of the log are under way as the gateway takes at a time; try again later, or use: twinstream explain",
    canRetry: true,
    status: 503,
  },
  TOO_MANY_STREAMS: {
    message:
      "as many live streams are open as this gateway takes (LIVE_MAX_CLIENTS); try again later",
    canRetry: true,
    status: 503,
  },
  INTERNAL: {
    message:
      "something failed that should not have; the log has the cause under this request id",
    canRetry: true,
    status: 500,
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** The one error class: a code of the table above, what exactly was wrong, and what caused it. */
export class TwinstreamError extends Error {
  override readonly name = "TwinstreamError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, detail?: string, options?: ErrorOptions) {
    super(detail ?? ERRORS[code].message, options);
    this.code = code;
  }

  /** Whether the same call may succeed later without anyone changing anything. */
  get canRetry(): boolean {
    return ERRORS[this.code].canRetry;
  }
}

/** Whatever was thrown, as text for a log line or a dead letter. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
