/** Every device: searched, filtered and sorted at once, ten thousand of them as smoothly as ten. */
import { useEffect, useMemo, useState } from "preact/hooks";
import type { ListedDevice, Quarantined } from "../answers.js";
import { ask } from "../api.js";
import { useAsked } from "../asked.js";
import { countText } from "../format.js";
import { go } from "../navigation.js";
import { type Place, PRESENCES, type PresenceFilter } from "../places.js";
import {
  type DeviceRow,
  rowOf,
  type RowNews,
  shownRows,
  type Sort,
  withNews,
} from "../rows.js";
import { mayOperate } from "../session.js";
import { DeviceTable } from "../parts/device-table.js";
import { Answered, Empty, Heading, Segments } from "../parts/basics.js";

const EVERY_MS = 10_000;
/** What the route gives at most. */
const PAGE = 5000;

async function readAll(signal: AbortSignal): Promise<readonly DeviceRow[]> {
  const quarantine = mayOperate()
    ? ask<{ devices: Quarantined[] }>("/quarantine", { signal })
    : Promise.resolve({ devices: [] });
  const found: ListedDevice[] = [];
  let next: string | null = "";
  while (next !== null) {
    const from: string =
      next === "" ? "" : `&cursor=${encodeURIComponent(next)}`;
    const page: { devices: ListedDevice[]; next: string | null } = await ask(
      `/devices?all=1&limit=${PAGE}${from}`,
      { signal },
    );
    found.push(...page.devices);
    ({ next } = page);
  }
  const quarantined = new Set(
    (await quarantine).devices.map((one) => one.device_id),
  );
  return found.map((device) => rowOf(device, quarantined));
}

const NAMES: Readonly<Record<PresenceFilter, string>> = {
  all: "All",
  online: "Online",
  offline: "Offline",
  quarantined: "Quarantined",
};

export function Devices({
  at,
}: {
  readonly at: Place & { readonly name: "devices" };
}) {
  const asked = useAsked("devices", readAll, EVERY_MS);
  const [rows, setRows] = useState<readonly DeviceRow[] | null>(null);
  const [sort, setSort] = useState<Sort>({ key: "id", descending: false });
  useEffect(() => {
    if (asked.value !== null) setRows(asked.value);
  }, [asked.value]);
  const shown = useMemo(
    () => (rows === null ? [] : shownRows(rows, at, sort)),
    [rows, at, sort],
  );
  const counts = useMemo(() => countsOf(rows ?? []), [rows]);
  const filters = PRESENCES.filter(
    (one) => one !== "quarantined" || mayOperate(),
  );

  return (
    <>
      <div class="page-head">
        <Heading>Devices</Heading>
        <span class="muted" role="status">
          {rows !== null &&
            `${countText(shown.length)} of ${countText(rows.length)} shown`}
        </span>
      </div>
      <div class="toolbar">
        <label class="search">
          <span class="unseen">Search devices</span>
          <input
            type="search"
            placeholder="Search by name or cause"
            value={at.search}
            onInput={({ currentTarget }) =>
              go({ ...at, search: currentTarget.value }, "replace")
            }
          />
        </label>
        <Segments
          label="Which devices"
          options={filters.map((key) => ({
            key,
            text: (
              <>
                {NAMES[key]}{" "}
                <span class="count">
                  {rows !== null && countText(counts[key])}
                </span>
              </>
            ),
          }))}
          chosen={at.show}
          choose={(show) => go({ ...at, show }, "replace")}
        />
      </div>
      <Answered asked={asked} what="the devices">
        {(all) =>
          shown.length === 0 ? (
            <NoneShown any={all.length > 0} at={at} />
          ) : (
            <DeviceTable
              rows={shown}
              sort={sort}
              onSort={setSort}
              onNews={(news: readonly RowNews[]) =>
                setRows((was) => (was === null ? was : withNews(was, news)))
              }
            />
          )
        }
      </Answered>
    </>
  );
}

function NoneShown({
  any,
  at,
}: {
  readonly any: boolean;
  readonly at: Place & { readonly name: "devices" };
}) {
  if (!any)
    return (
      <Empty title="No device has been heard of yet">
        Publish to <code>devices/my-device/data</code> at the MQTT broker, and
        it appears here by itself.
      </Empty>
    );
  return (
    <Empty title="No device is like that">
      <button
        type="button"
        onClick={() => go({ ...at, search: "", show: "all" }, "replace")}
      >
        Show all devices
      </button>
    </Empty>
  );
}

function countsOf(rows: readonly DeviceRow[]): Record<PresenceFilter, number> {
  const online = rows.filter((row) => row.online).length;
  return {
    all: rows.length,
    online,
    offline: rows.length - online,
    quarantined: rows.filter((row) => row.quarantined).length,
  };
}
