/** What is published while it happens, for the gateway's live streams. */

export interface LiveListener {
  /**
   * The full message of a device, as it was published. `watched` says due to which watch it came: one that falls under both
   * comes twice.
   */
  update(address: string, message: Buffer, watched: "device" | "tenant"): void;
  /** A device came or went, of whatever tenant. */
  presence(message: Buffer): void;
  /** What was published between these times (Unix milliseconds) may not have come; from now on everything does again. */
  gap(fromMs: number, toMs: number): void;
}

/** All watches of a process stand on one subscription; each is begun once and ended once, whoever counts its watchers. */
export interface LiveFeed {
  /** To be called once, before anything is watched. */
  listen(listener: LiveListener): void;
  /**
   * Resolves once all that is published from then on reaches the listener. Presence comes as soon as anything is watched.
   * @throws VIEW_UNREACHABLE; nothing is watched then
   */
  watchDevices(addresses: readonly string[]): Promise<void>;
  unwatchDevices(addresses: readonly string[]): void;
  /** Every device of a tenant. */
  watchTenant(tenant: string): Promise<void>;
  unwatchTenant(tenant: string): void;
  /** Resolves once all that was published before has reached the listener. @throws VIEW_UNREACHABLE */
  settled(): Promise<void>;
  close(): Promise<void>;
}
