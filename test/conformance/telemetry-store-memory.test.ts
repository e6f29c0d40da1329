import { address } from "../../src/domain/names.js";
import { createMemoryLedger } from "../support/memory-ledger.js";
import { createMemoryStore } from "../support/memory-store.js";
import type { StoredReading } from "../../src/ports.js";
import { telemetryStoreConformance } from "./telemetry-store.js";
import { DATA, PARTITION } from "./telemetry-store-batches.js";

telemetryStoreConformance("in-memory double", {
  close: async () => {},
  use: async (work) => {
    const store = createMemoryStore();
    const by =
      <T>(keys: (item: T) => (string | number)[]) =>
      (a: T, b: T) => {
        const [x, y] = [keys(a), keys(b)];
        const place = x.findIndex((key, i) => key !== y[i]);
        return place === -1 ? 0 : x[place]! < y[place]! ? -1 : 1;
      };
    const ledger = createMemoryLedger(store);
    const changed = new Map<
      string,
      (row: StoredReading) => StoredReading | null
    >();
    ledger.tamper(({ name, value, text }) => {
      const row = { value, text, doubled: false };
      return changed.has(name) ? changed.get(name)!(row) : row;
    });
    await work({
      store,
      ledger,
      plant: {
        deleteRow: async (name) => void changed.set(name, () => null),
        changeValue: async (name, value) =>
          void changed.set(name, (row) => ({ ...row, value })),
        doubleRow: async (name) =>
          void changed.set(name, (row) => ({ ...row, doubled: true })),
        deleteLetter: async (offset) =>
          ledger.forgetLetter(`${DATA}/${PARTITION}/${offset}/-1`),
      },
      rows: async () =>
        store
          .rows()
          .map(({ address: device, ...row }) => ({ device, ...row }))
          .sort(by((row) => [row.device, row.name, row.timeUs])),
      letters: async () =>
        [...store.letters]
          .map(([at, letter]) => ({
            offset: letter.source.offset,
            item: letter.item,
            reason: letter.reason,
            device: letter.deviceId,
            payload: letter.payload.toString("latin1"),
            attempts: letter.attempts,
            replayed: store.replayed.has(at),
          }))
          .sort(by((letter) => [letter.offset, letter.item])),
      commands: async () =>
        new Map(
          [...store.commandsById].map(
            ([cmdId, { state, ok, err, history }]) => [
              cmdId,
              { state, ok, err, history: history.map((step) => step.state) },
            ],
          ),
        ),
      acks: async () =>
        new Map(
          [...store.acks.values()].map(({ ack, late, known }) => [
            ack.cmdId,
            {
              device: ack.address,
              ok: ack.ok,
              execUs: ack.execUs,
              late,
              known,
            },
          ]),
        ),
      events: async () =>
        [...store.events.values()].map((event) => event.payload),
      refuseAbove100: async () =>
        store.refuse(({ sensor, value }) =>
          sensor.name === "refused" && value! > 100 ? "too large" : null,
        ),
      setAdapter: async (tenant, deviceId, adapter) =>
        store.setAdapter(address(tenant, deviceId), adapter),
    });
  },
});
