import { address } from "../../src/domain/names.js";
import { createMemoryStore } from "../support/memory-store.js";
import { telemetryStoreConformance } from "./telemetry-store.js";

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
    await work({
      store,
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
