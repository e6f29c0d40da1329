/**
 * Where the database's rows and what only Redis has so far become one list. A reading is known by sensor and time; of two
 * the database's counts. Pure, and a batch at a time, so that a list of any length goes through it.
 */
import type { Reading } from "../../ports.js";

/** Readings that Redis has, by sensor id, oldest first, each time once. */
export type RecentReadings = ReadonlyMap<number, readonly Reading[]>;

export interface Seam {
  /** The database's next rows, in their order; answers them with what lies before each. */
  take(rows: readonly Reading[]): Reading[];
  /** What lies behind the database's last row. */
  rest(): Reading[];
}

/** @param sensorIds the order of sensors that rows come in, ascending */
export function createSeam(
  sensorIds: readonly number[],
  recent: RecentReadings,
): Seam {
  /** Place in `sensorIds`, and in the recent readings of that sensor. */
  let sensor = 0;
  let next = 0;

  function advance(out: Reading[], before: Reading | null): void {
    for (; sensor < sensorIds.length; sensor++, next = 0) {
      const id = sensorIds[sensor]!;
      const list = recent.get(id) ?? [];
      const isLast = before !== null && id === before.sensorId;
      for (; next < list.length; next++) {
        const reading = list[next]!;
        if (isLast && reading.timeUs >= before.timeUs) break;
        out.push(reading);
      }
      if (isLast) {
        if (list[next]?.timeUs === before.timeUs) next++;
        return;
      }
    }
  }

  return {
    take(rows) {
      const out: Reading[] = [];
      for (const row of rows) {
        advance(out, row);
        out.push(row);
      }
      return out;
    },
    rest() {
      const out: Reading[] = [];
      advance(out, null);
      return out;
    },
  };
}
