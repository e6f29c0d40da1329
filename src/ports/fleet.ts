/** What the gateway asks the database of a whole fleet. */

export interface FleetStanding {
  /** Devices that were ever heard of. */
  readonly known: number;
  /** Of them, those in quarantine now. */
  readonly quarantined: number;
  /** Messages with dead letters that nothing was done about. */
  readonly deadLetters: number;
  /** First offset of each partition that is not stored yet, of all topics; -1 when nothing is. Not a tenant's: the system's. */
  readonly positions: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly nextOffset: number;
  }[];
}

/** Throws STORE_UNREACHABLE. */
export interface FleetReader {
  standing(tenant: string): Promise<FleetStanding>;
  close(): Promise<void>;
}
