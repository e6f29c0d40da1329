/** The ExplainReader over the in-memory store. */
import { address, TOPIC } from "../../src/domain/names.js";
import type { ExplainReader } from "../../src/ports.js";
import type { MemoryStore } from "./memory-store.js";

export function createMemoryExplain(store: MemoryStore): ExplainReader {
  return {
    adapterOf: async () => null,
    async reading({ tenant, deviceId, point, atUs }, { topic, partition }) {
      const at = address(tenant, deviceId);
      const rows = store
        .rows()
        .filter((row) => row.address === at && row.name === point);
      const times = rows.map(({ timeUs }) => timeUs);
      const earlier = times.filter((us) => us < atUs);
      const later = times.filter((us) => us > atUs);
      const classes = new Set(rows.map(({ typeClass }) => typeClass));
      return {
        deviceKnown: store.devices.has(at),
        nextOffset: store.fences.get(`${topic}/${partition}`)?.nextOffset ?? -1,
        sensors: [...classes].map((typeClass) => {
          const row = rows.find(
            (one) => one.timeUs === atUs && one.typeClass === typeClass,
          );
          return {
            typeClass,
            row:
              row === undefined
                ? null
                : { value: row.value, text: row.text, storedUs: null },
            earlierUs: earlier.length === 0 ? null : Math.max(...earlier),
            laterUs: later.length === 0 ? null : Math.min(...later),
          };
        }),
      };
    },
    letters: async (tenant, places) =>
      [...store.letters.values()]
        .filter(
          (letter) =>
            letter.tenant === tenant &&
            places.some(({ offset }) => offset === letter.source.offset),
        )
        .map(({ source, item, reason, detail }) => ({
          topic: TOPIC.data,
          partition: source.partition,
          offset: source.offset,
          id: source.offset,
          item,
          reason,
          detail,
          storedUs: source.timestampMs * 1000,
        })),
    close: async () => undefined,
  };
}
