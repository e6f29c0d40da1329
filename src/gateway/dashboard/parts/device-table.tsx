/**
 * The rows in sight, and no others: the list is as high as all rows together, and holds those that the window shows. They
 * alone are followed live. The window scrolls, not the list, so that a phone has one scroll bar.
 */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { nowMs } from "../clock.js";
import { agoText, exactText } from "../format.js";
import { openLive } from "../live.js";
import { deviceAt } from "../places.js";
import {
  type DeviceRow,
  type RowNews,
  type Sort,
  type SortKey,
  windowOf,
} from "../rows.js";
import { Badge, Link, Presence } from "./basics.js";

/** Pixels; the style sheet has the same. */
const ROW_PX = 44;
/** Devices followed live at most, and milliseconds that they must stay in sight before. */
const FOLLOWED = 60;
const STILL_MS = 400;

const COLUMNS: readonly { key: SortKey; text: string }[] = [
  { key: "id", text: "Device" },
  { key: "presence", text: "Presence" },
  { key: "seen", text: "Last heard" },
];

export function DeviceTable({
  rows,
  sort,
  onSort,
  onNews,
}: {
  readonly rows: readonly DeviceRow[];
  readonly sort: Sort;
  readonly onSort: (sort: Sort) => void;
  readonly onNews: (news: readonly RowNews[]) => void;
}) {
  const list = useRef<HTMLDivElement>(null);
  const { from, to } = useWindow(list, rows.length);
  const seen = rows.slice(from, to);
  useFollowed(
    seen.slice(0, FOLLOWED).map((row) => row.id),
    onNews,
  );
  return (
    <div class="table devices" role="table" aria-rowcount={rows.length + 1}>
      <div role="rowgroup" class="table-head">
        <div role="row" class="table-row" aria-rowindex={1}>
          {COLUMNS.map(({ key, text }) => (
            <div
              role="columnheader"
              key={key}
              aria-sort={
                sort.key !== key
                  ? "none"
                  : sort.descending
                    ? "descending"
                    : "ascending"
              }
            >
              <button
                type="button"
                class="sorter"
                onClick={() =>
                  onSort({
                    key,
                    descending:
                      sort.key === key ? !sort.descending : key === "seen",
                  })
                }
              >
                {text}
                <span aria-hidden="true" class="sort-mark">
                  {sort.key !== key ? "" : sort.descending ? "↓" : "↑"}
                </span>
              </button>
            </div>
          ))}
          <div role="columnheader" class="cause">
            Cause
          </div>
        </div>
      </div>
      <div
        role="rowgroup"
        class="table-rows"
        ref={list}
        style={{ height: `${rows.length * ROW_PX}px` }}
      >
        {seen.map((row, i) => (
          <Row key={row.id} row={row} index={from + i} />
        ))}
      </div>
    </div>
  );
}

function Row({
  row,
  index,
}: {
  readonly row: DeviceRow;
  readonly index: number;
}) {
  return (
    <div
      role="row"
      class="table-row"
      aria-rowindex={index + 2}
      style={{ transform: `translateY(${index * ROW_PX}px)` }}
    >
      <div role="cell" class="name">
        <Link to={deviceAt(row.id)}>{row.id}</Link>
      </div>
      <div role="cell">
        <Presence online={row.online} />
        {row.quarantined && <Badge tone="bad">quarantined</Badge>}
      </div>
      <div role="cell" class="seen">
        {row.seenMs === 0 ? (
          <span class="muted">never</span>
        ) : (
          <time title={exactText(new Date(row.seenMs).toISOString())}>
            {agoText(row.seenMs, nowMs.value)}
          </time>
        )}
      </div>
      <div role="cell" class="cause muted">
        {row.cause ?? ""}
      </div>
    </div>
  );
}

function useWindow(
  list: { readonly current: HTMLDivElement | null },
  count: number,
): { readonly from: number; readonly to: number } {
  const look = () => {
    const top = list.current?.getBoundingClientRect().top ?? 0;
    return windowOf(-top, innerHeight - Math.max(0, top), ROW_PX, count);
  };
  const [seen, setSeen] = useState(() =>
    windowOf(0, innerHeight, ROW_PX, count),
  );
  useLayoutEffect(() => {
    let frame = 0;
    const moved = (): void => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        const next = look();
        setSeen((was) =>
          was.from === next.from && was.to === next.to ? was : next,
        );
      });
    };
    setSeen(look());
    addEventListener("scroll", moved, { passive: true });
    addEventListener("resize", moved);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", moved);
      removeEventListener("resize", moved);
    };
  }, [count]);
  return { from: Math.min(seen.from, count), to: Math.min(seen.to, count) };
}

function useFollowed(
  ids: readonly string[],
  onNews: (news: readonly RowNews[]) => void,
): void {
  const take = useRef(onNews);
  take.current = onNews;
  const key = ids.join(" ");
  useEffect(() => {
    if (key === "") return undefined;
    let close: (() => void) | undefined;
    const timer = setTimeout(() => {
      close = openLive(key.split(" "), ({ updates, presence }) =>
        take.current([
          ...updates.map(({ device_id: id }) => ({
            id,
            online: true,
            cause: null,
            seenMs: Date.now(),
          })),
          ...presence.map(({ device_id: id, online, cause }) => ({
            id,
            online,
            cause,
          })),
        ]),
      );
    }, STILL_MS);
    return () => {
      clearTimeout(timer);
      close?.();
    };
  }, [key]);
}
