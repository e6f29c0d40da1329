/**
 * Who is online, in the order of the ids: the online set in Redis is in the order of time, so any page of it costs all of it
 * (2.4 ms of CPU for 1,000 devices). One read serves everybody who asks of the same tenant while it is under way and for nine
 * times as long after, so these reads take a tenth of a process' time however often they are asked for. A list is therefore
 * late by ten times what it took to read, tens of milliseconds, and by a second at most beside that reading; a device that
 * has fallen silent meanwhile is not shown. Only lists still in use are held.
 */
import type { Clock, DeviceViewReader } from "../ports.js";

export interface Seen {
  readonly deviceId: string;
  readonly seenS: number;
}

export interface OnlineList {
  /**
   * The first `count` devices after that id seen at or after (Unix seconds); null when Redis has no online set.
   * @throws VIEW_UNREACHABLE
   */
  page(
    tenant: string,
    sinceS: number,
    after: string | null,
    count: number,
  ): Promise<Seen[] | null>;
}

/** A list serves for so many times as long as it took to read … */
const SERVES = 9;
/** … and no longer than so many milliseconds. */
const MOST_MS = 1000;

export function createOnlineList(deps: {
  readonly view: Pick<DeviceViewReader, "online">;
  readonly clock: Clock;
}): OnlineList {
  const { view, clock } = deps;
  const lists = new Map<string, Promise<Seen[] | null>>();

  function read(tenant: string, sinceS: number): Promise<Seen[] | null> {
    const startedMs = clock();
    const list = view
      .online(tenant, sinceS)
      .then((seen) => seen?.toSorted(byId) ?? null);
    const drop = (): void => {
      if (lists.get(tenant) === list) lists.delete(tenant);
    };
    lists.set(tenant, list);
    list.then(() => {
      const servesMs = Math.min((clock() - startedMs) * SERVES, MOST_MS);
      if (servesMs > 0) setTimeout(drop, servesMs).unref();
      else drop();
    }, drop);
    return list;
  }

  return {
    async page(tenant, sinceS, after, count) {
      const list = await (lists.get(tenant) ?? read(tenant, sinceS));
      if (list === null) return null;
      const page: Seen[] = [];
      for (let i = firstAfter(list, after); page.length < count; i++) {
        const seen = list[i];
        if (seen === undefined) break;
        if (seen.seenS >= sinceS) page.push(seen);
      }
      return page;
    },
  };
}

const byId = (a: Seen, b: Seen): number => (a.deviceId < b.deviceId ? -1 : 1);

/** Index of the first device after that id, by halving. */
function firstAfter(list: readonly Seen[], after: string | null): number {
  if (after === null) return 0;
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]!.deviceId > after) high = middle;
    else low = middle + 1;
  }
  return low;
}
