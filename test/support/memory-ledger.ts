/** The LedgerStore over the in-memory store, with faults to plant. Proved by the store's conformance suite. */
import { address, parseAddress } from "../../src/domain/names.js";
import type { LedgerStore, StoredReading } from "../../src/ports.js";
import type { MemoryStore } from "./memory-store.js";
import type { MemoryRow } from "./memory-store-state.js";

export interface MemoryLedger extends LedgerStore {
  /** What is done to a row before it is looked at; null for gone. */
  tamper(row: (row: MemoryRow) => StoredReading | null): void;
  /** `topic/partition/offset/item` of a letter that is gone. */
  forgetLetter(place: string): void;
  /** Before these times rows and letters may be gone, Unix milliseconds. */
  kept: { rowsFromMs: number; lettersFromMs: number };
  /** Of tenant `default` alone unless set. */
  tenants: ReadonlySet<string>;
}

export function createMemoryLedger(store: MemoryStore): MemoryLedger {
  let look = (row: MemoryRow): StoredReading | null => ({
    value: row.value,
    text: row.text,
    doubled: false,
  });
  const forgotten = new Set<string>();
  const letters = () =>
    [...store.letters]
      .filter(([place]) => !forgotten.has(place))
      .map(([, { source, item, reason }]) => ({
        topic: source.topic,
        partition: source.partition,
        offset: source.offset,
        item,
        reason,
      }));

  const ledger: MemoryLedger = {
    kept: { rowsFromMs: 0, lettersFromMs: 0 },
    tenants: new Set(["default"]),
    tamper(row) {
      look = row;
    },
    forgetLetter: (place) => void forgotten.add(place),
    standing: async () => ({
      offsets: [...store.fences].map(([key, { nextOffset, clusterId }]) => {
        const [topic, partition] = key.split("/") as [string, string];
        return { topic, partition: Number(partition), nextOffset, clusterId };
      }),
      gaps: store.gaps,
      tenants: ledger.tenants,
      adapters: new Map(),
      ...ledger.kept,
    }),
    async readings(keys) {
      const rows = new Map(
        store
          .rows()
          .map((row) => [
            `${row.address} ${row.timeUs} ${row.typeClass} ${row.name}`,
            row,
          ]),
      );
      return keys.map(({ tenant, deviceId, timeUs, typeClass, name }) => {
        const at = address(tenant, deviceId);
        const row = rows.get(`${at} ${timeUs} ${typeClass} ${name}`);
        return row === undefined ? null : look(row);
      });
    },
    letters: async ({ topic, partition, from, to }) =>
      letters().filter(
        (one) =>
          one.topic === topic &&
          one.partition === partition &&
          one.offset >= from &&
          one.offset < to,
      ),
    lettersAt: async (places) =>
      letters().filter((one) =>
        places.some(
          (place) =>
            place.topic === one.topic &&
            place.partition === one.partition &&
            place.offset === one.offset,
        ),
      ),
    events: async (keys) =>
      keys.map(({ tenant, deviceId, timeUs, hash }) =>
        [...store.events.values()].some(
          (event) =>
            event.tenant === tenant &&
            event.deviceId === deviceId &&
            event.timeUs === timeUs &&
            event.hash === hash,
        ),
      ),
    acks: async (keys) =>
      keys.map(({ tenant, deviceId, cmdId, execUs, hash }) => {
        const kept = store.acks.get(`${address(tenant, deviceId)} ${cmdId}`);
        if (kept === undefined) return false;
        const { ack } = kept;
        return (
          ack.execUs < execUs || (ack.execUs === execUs && ack.hash <= hash)
        );
      }),
    commands: async (keys) =>
      keys.map(({ tenant, deviceId, cmdId }) => {
        const at = parseAddress(store.commandsById.get(cmdId)?.address ?? "");
        return at?.tenant === tenant && at.deviceId === deviceId;
      }),
    close: async () => undefined,
  };
  return ledger;
}
