/** What uploads ask of the object store and the database. */
import type { Readable } from "node:stream";
import type { DeviceRef, Row, Sensor } from "../domain/device.js";
import type { DeadLetter } from "../domain/message.js";
import type { DeadLetterReason } from "../errors.js";
import type { StoredDevice } from "./store.js";

export interface StoredObject {
  readonly key: string;
  /** Bytes as stored. */
  readonly bytes: number;
  readonly modifiedMs: number;
}

/**
 * Whole objects under keys of the form `telemetry/…/<uuid>.json.gz`. An object is visible only once it is complete.
 * Errors: OBJECTS_UNREACHABLE (canRetry; also when the store is full), NOT_FOUND, BAD_REQUEST for what is no key.
 */
export interface ObjectStore {
  /** `STORAGE_TYPE` of the claim check. */
  readonly type: "minio" | "filesystem";
  /**
   * Stores what the stream gives, with bounded memory. When the stream fails or is destroyed nothing becomes visible and
   * the promise rejects with the stream's error.
   */
  put(
    key: string,
    body: Readable,
    metadata: Readonly<Record<string, string>>,
  ): Promise<{ bytes: number }>;
  /** @throws NOT_FOUND before the first byte */
  get(key: string): Promise<Readable>;
  head(
    key: string,
  ): Promise<
    (StoredObject & { metadata: Readonly<Record<string, string>> }) | null
  >;
  /** Removing what is not there is no error. */
  remove(key: string): Promise<void>;
  /** Complete objects last changed before, in any order. */
  list(prefix: string, modifiedBeforeMs: number): AsyncIterable<StoredObject>;
  /** Leftovers of uploads that broke off, begun before; answers how many were removed. */
  sweep(begunBeforeMs: number): Promise<number>;
  /**
   * Makes bucket or folder and, where the store knows it, a rule that drops objects long after so many days: the sweeper
   * drops them then, unless their claim is open, which a store cannot see.
   */
  prepare(retentionDays: number): Promise<void>;
  ping(): Promise<void>;
  /** Bytes that it still has room for; null where it does not say. */
  free(): Promise<number | null>;
  close(): Promise<void>;
}

export type ClaimState =
  "receiving" | "stored" | "processing" | "done" | "rejected";

/** An upload: an object, and what became of it. */
export interface UploadClaim {
  readonly claimId: string;
  readonly tenant: string;
  readonly userId: string;
  readonly requestId: string;
  readonly key: string;
  readonly storageType: "minio" | "filesystem";
  readonly state: ClaimState;
  readonly idempotencyKey: string | null;
  /** As stored, gzipped; 0 while receiving. */
  readonly fileSize: number;
  /** Uncompressed; 0 while receiving. */
  readonly originalSize: number;
  /** Hex SHA-256 of the stored bytes; "" while receiving. */
  readonly sha256: string;
  /** Whether the claim check is on the log. */
  readonly announced: boolean;
  /** Equipments handled so far: the ordinal to go on with. */
  readonly nextEquipment: number;
  readonly equipments: {
    readonly total: number | null;
    readonly stored: number;
    readonly failed: number;
  };
  readonly readings: {
    readonly stored: number;
    readonly duplicate: number;
    readonly failed: number;
  };
  /** The first of them; counts are whole. */
  readonly errors: readonly { path: string; reason: string }[];
  readonly receivedMs: number;
  readonly finishedMs: number | null;
}

/** The gateway's side of the claims; each call within one tenant. */
export interface UploadDesk {
  /**
   * Begins a claim before its object is written, so that a sweeper finds what is left when we die. Answers the earlier
   * claim of this tenant with the same idempotency key, if there is one, instead of making another.
   */
  begin(
    claim: Pick<
      UploadClaim,
      | "claimId"
      | "tenant"
      | "userId"
      | "requestId"
      | "key"
      | "storageType"
      | "idempotencyKey"
      | "receivedMs"
    >,
  ): Promise<{ begun: boolean; claim: UploadClaim }>;
  /** The object is complete. */
  stored(
    tenant: string,
    claimId: string,
    sizes: Pick<UploadClaim, "fileSize" | "originalSize" | "sha256">,
  ): Promise<void>;
  /** The claim check is on the log. */
  announced(tenant: string, claimId: string): Promise<void>;
  /**
   * The upload broke off: as if it had never begun. Only a `receiving` claim is forgotten; answers whether it was, and only
   * then may its object go.
   */
  forget(tenant: string, claimId: string): Promise<boolean>;
  find(tenant: string, claimId: string): Promise<UploadClaim | null>;
  /** Newest first, without those still `receiving`; `before` is the id that the page before ended with. */
  list(
    tenant: string,
    page: { readonly before: string | null; readonly limit: number },
  ): Promise<UploadClaim[]>;
  /** Claims of all tenants that a sweeper must finish or remove: `stored` and not announced, or `receiving`, since before. */
  left(beforeMs: number, limit: number): Promise<UploadClaim[]>;
  /** Those of these keys whose claim has not ended: their objects must stay. */
  needed(keys: readonly string[]): Promise<ReadonlySet<string>>;
  /** Does this unless another process is at it; answers whether it was done. */
  alone(work: () => Promise<void>): Promise<boolean>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** What one equipment of an upload comes to, in one transaction with the claim's progress. */
export interface EquipmentResult {
  readonly claimId: string;
  /** 0-based place in the file; it takes effect only if it is the claim's next one. */
  readonly ordinal: number;
  /** Registered; null when nothing of the equipment can be stored. */
  readonly device: DeviceRef | null;
  /** Name as the upload gives it; null leaves the known one. */
  readonly name: string | null;
  /** In the order of the file; the first value of a sensor's instant wins. */
  readonly rows: readonly BulkRow[];
  /** Readings, or the whole equipment, that could not be taken. */
  readonly errors: readonly BulkError[];
}
/** `item` is the reading's 0-based place in its equipment's `sensor`. */
export interface BulkRow extends Row {
  /** The equipment's 0-based place in the file. */
  readonly ordinal: number;
}
export interface BulkError {
  readonly path: string;
  readonly reason: string;
  readonly deadLetterReason: DeadLetterReason;
  /** The offending piece of the file, capped. */
  readonly payload: Buffer;
  readonly tenant: string;
  readonly deviceId: string | null;
}

/** A claim whose equipments have all been handled. */
export interface FinishedClaim {
  readonly claimId: string;
  /** How many there were. */
  readonly equipments: number;
}

export interface StoredEquipments {
  readonly stored: number;
  readonly duplicates: number;
  /** Readings in `ingest_errors`. */
  readonly failed: number;
  /** Dead letters by reason. */
  readonly letters: ReadonlyMap<DeadLetterReason, number>;
  /** Claims, of those given as finished, that are done. */
  readonly done: readonly string[];
}

/** The worker's side. */
export interface UploadStore {
  /**
   * Marks them `processing` and answers them by claim id, where to go on included; those that have ended as they are, those
   * that do not exist not at all. The place of the first claim check of a claim is where its dead letters are filed, so that
   * processing it again files none twice.
   */
  take(
    claims: readonly { claimId: string; partition: number; offset: number }[],
  ): Promise<Map<string, UploadClaim>>;
  register(
    partition: number,
    devices: readonly DeviceRef[],
    sensors: readonly Sensor[],
  ): Promise<unknown>;
  /** Device and sensors as the database knows them. */
  wake(devices: readonly DeviceRef[]): Promise<Map<string, StoredDevice>>;
  /**
   * One transaction: rows, dead letters and progress, and `done` for the finished claims, whose bulk notes are on the log.
   * Equipments of a claim come in order; those handled already, and those that do not follow on its progress, change nothing.
   * @throws STORE_REFUSED when the database refuses something; fewer equipments at a time may then go through
   */
  store(
    results: readonly EquipmentResult[],
    finished: readonly FinishedClaim[],
    options: {
      readonly clusterId: string;
      /** Go through staging at once: duplicates are expected. */
      readonly expectDuplicates: boolean;
    },
  ): Promise<StoredEquipments>;
  /**
   * Keeps a claim check as a dead letter and rejects its claim, where there is one. `beforeCommit` puts the dead letter on the
   * log. Answers false, and does nothing, when the claim has ended already.
   */
  reject(
    letter: DeadLetter,
    claimId: string | null,
    options: {
      readonly clusterId: string;
      readonly beforeCommit: () => Promise<void>;
    },
  ): Promise<boolean>;
  /** For `reprocess`: an ended claim begins at its first equipment again; rows stay unique. Null when it has not ended. */
  reopen(claimId: string): Promise<UploadClaim | null>;
  find(claimId: string): Promise<UploadClaim | null>;
  /** Newest first. */
  list(options: {
    tenant: string | null;
    state: ClaimState | null;
    limit: number;
  }): Promise<UploadClaim[]>;
  close(): Promise<void>;
}
