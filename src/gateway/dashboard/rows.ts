/** The device list without a screen: which devices, in which order, and which rows are in sight. Pure. */
import type { ListedDevice } from "./answers.js";
import type { PresenceFilter } from "./places.js";

export interface DeviceRow {
  readonly id: string;
  readonly online: boolean;
  /** Unix milliseconds; 0 when never. */
  readonly seenMs: number;
  readonly cause: string | null;
  readonly quarantined: boolean;
}

export type SortKey = "id" | "seen" | "presence";
export interface Sort {
  readonly key: SortKey;
  readonly descending: boolean;
}

export const rowOf = (
  device: ListedDevice,
  quarantined: ReadonlySet<string>,
): DeviceRow => ({
  id: device.device_id,
  online: device.online,
  seenMs: device.last_seen === null ? 0 : Date.parse(device.last_seen),
  cause: device.cause,
  quarantined: quarantined.has(device.device_id),
});

/** Every word of the search must be somewhere in the id or the cause. */
export function shownRows(
  rows: readonly DeviceRow[],
  { search, show }: { search: string; show: PresenceFilter },
  sort: Sort,
): DeviceRow[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter(
    (row) =>
      isShown(row, show) &&
      words.every(
        (word) =>
          row.id.toLowerCase().includes(word) ||
          (row.cause?.toLowerCase().includes(word) ?? false),
      ),
  );
  const way = sort.descending ? -1 : 1;
  return found.sort((a, b) => way * compare(a, b, sort.key) || byId(a, b));
}

function isShown(row: DeviceRow, show: PresenceFilter): boolean {
  if (show === "quarantined") return row.quarantined;
  if (show === "online") return row.online;
  return show === "all" || !row.online;
}

function compare(a: DeviceRow, b: DeviceRow, key: SortKey): number {
  if (key === "id") return byId(a, b);
  if (key === "seen") return a.seenMs - b.seenMs;
  return Number(b.online) - Number(a.online);
}

/** As people count: sim-2 before sim-10. */
const collator = new Intl.Collator("en", { numeric: true });
const byId = (a: DeviceRow, b: DeviceRow): number =>
  collator.compare(a.id, b.id);

/** What a live stream tells of one device. */
export interface RowNews {
  readonly id: string;
  readonly online?: boolean;
  readonly seenMs?: number;
  readonly cause?: string | null;
}

/** The same list where nothing changed. Devices that are not in it wait for the next reading of the whole. */
export function withNews(
  rows: readonly DeviceRow[],
  news: readonly RowNews[],
): readonly DeviceRow[] {
  const byDevice = new Map<string, RowNews>();
  for (const one of news)
    byDevice.set(one.id, { ...byDevice.get(one.id), ...one });
  let changed = false;
  const next = rows.map((row) => {
    const told = byDevice.get(row.id);
    if (told === undefined) return row;
    changed = true;
    return {
      ...row,
      online: told.online ?? row.online,
      seenMs: Math.max(row.seenMs, told.seenMs ?? 0),
      cause: told.cause === undefined ? row.cause : told.cause,
    };
  });
  return changed ? next : rows;
}

/** Rows beyond the edges that are made all the same, so that quick scrolling shows no gaps. */
const BEYOND = 8;

/** First row to be made and the one after the last, of rows that are all `rowPx` high. */
export function windowOf(
  scrollPx: number,
  heightPx: number,
  rowPx: number,
  count: number,
): { readonly from: number; readonly to: number } {
  const first = Math.floor(Math.max(0, scrollPx) / rowPx) - BEYOND;
  const last = Math.ceil((Math.max(0, scrollPx) + heightPx) / rowPx) + BEYOND;
  const to = Math.min(count, last);
  return { from: Math.max(0, Math.min(first, to)), to };
}
