/** How things stand in the stores, for gauges: what no process of ours knows from its own work. */

/** States of an upload that has not ended. */
export type OpenClaimState = "receiving" | "stored" | "processing";
/** States of a command that has not ended. */
export type OpenCommandState = "queued" | "sent" | "delivered";

export interface Open<State extends string> {
  readonly state: State;
  readonly count: number;
  /** Bytes of the uploads as stored; 0 for commands, and while receiving. */
  readonly bytes: number;
  /** Since the oldest was received or given, seconds; 0 when there is none. */
  readonly oldestSeconds: number;
}

/** Raw rows of one kind of storage. Without TimescaleDB everything is `row`, a chunk is a day's partition. */
export interface StoredChunks {
  readonly kind: "row" | "columnstore";
  readonly count: number;
  readonly bytes: number;
}

export interface AggregateStanding {
  /** `telemetry_hourly`, `telemetry_daily`. */
  readonly name: string;
  readonly bytes: number;
  /** From the end of what is stored of it until now, seconds; null while nothing is stored. */
  readonly behindSeconds: number | null;
  /** Rows wait that its policy should long have taken. */
  readonly stale: boolean;
}

export interface StoreStanding {
  readonly databaseBytes: number;
  readonly chunks: readonly StoredChunks[];
  /** From the oldest raw chunk's end until now, seconds; null without one. */
  readonly oldestChunkSeconds: number | null;
  /** RAW_RETENTION_DAYS as migrate wrote it down, seconds; 0 keeps for ever. */
  readonly retentionSeconds: number;
  readonly aggregates: readonly AggregateStanding[];
  /** Background policies whose work is not done: refresh, retention, columnstore. */
  readonly policiesFailing: number;
  /** Hours with late rows that wait to be refreshed. */
  readonly lateBuckets: number;
  readonly claims: readonly Open<OpenClaimState>[];
  readonly commands: readonly Open<OpenCommandState>[];
  /** Open commands whose time was over a minute ago: a lane that stands still cannot end them. */
  readonly commandsOverdue: number;
  readonly devicesKnown: number;
  readonly devicesQuarantined: number;
}

export interface StandingReader {
  /** @throws TwinstreamError STORE_UNREACHABLE, STORE_NOT_MIGRATED */
  read(): Promise<StoreStanding>;
  close(): Promise<void>;
}

export interface ObjectsStanding {
  readonly count: number;
  readonly bytes: number;
  /** Bytes that the store still has room for; null where it does not say. */
  readonly freeBytes: number | null;
}
