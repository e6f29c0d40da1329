/** In-memory double of both ports of the view; passes the same conformance suite as Redis. */
import type { DeviceRef, LastState } from "../../src/domain/device.js";
import { fullMessage } from "../../src/domain/envelope.js";
import { isLater } from "../../src/domain/decide.js";
import {
  appliedKey,
  DEFAULT_TENANT,
  parseAddress,
  PRESENCE_CHANNEL,
  updatesChannel,
} from "../../src/domain/names.js";
import { DISCONNECTED } from "../../src/domain/presence.js";
import { toIso, toSeconds } from "../../src/domain/time.js";
import { TwinstreamError } from "../../src/errors.js";
import type {
  AcceptedCommand,
  Clock,
  DeviceView,
  DeviceViewReader,
  ViewWrite,
  WentOffline,
} from "../../src/ports.js";

export interface Published {
  readonly channel: string;
  readonly text: string;
}

export interface MemoryDeviceView {
  readonly view: DeviceView;
  readonly reader: DeviceViewReader;
  /** Everything published, oldest first. */
  readonly published: readonly Published[];
  /** Every write that took effect, oldest first. */
  readonly writes: readonly ViewWrite[];
  /** By address. */
  readonly last: ReadonlyMap<string, LastState>;
  /** Scores by member. */
  history(address: string): ReadonlyMap<string, number>;
  /** By `appliedKey`. */
  readonly marks: ReadonlyMap<string, number>;
  /**
   * Makes the next calls of the view fail with VIEW_UNREACHABLE: before they do anything, or after they have taken effect (the
   * answer is lost).
   */
  failNext(calls: number, when?: "before" | "after"): void;
  /** A connection that broke and came back. */
  reconnect(): void;
  /** Redis came back empty. */
  loseEverything(): void;
}

export function createMemoryDeviceView(options: {
  readonly historySeconds: number;
  readonly offlineAfterSeconds?: number;
  readonly clock: Clock;
}): MemoryDeviceView {
  const published: Published[] = [];
  const writes: ViewWrite[] = [];
  const lasts = new Map<string, LastState>();
  const sites = new Map<string, string | null>();
  const horizons = new Map<number, number>();
  let bridges: number | null = null;
  const histories = new Map<
    string,
    { scores: Map<string, number>; expiresS: number }
  >();
  const onlineSets = new Map<string, Map<string, number>>();
  const marks = new Map<string, number>();
  const commands = new Map<string, AcceptedCommand>();
  const listeners: (() => void)[] = [];
  const failures: ("before" | "after")[] = [];
  let closed = false;

  const nowS = (): number => options.clock() / 1000;
  const call = async <T>(work: () => T): Promise<T> => {
    const when = closed ? "before" : failures.shift();
    const fail = (): never => {
      throw new TwinstreamError("VIEW_UNREACHABLE", "the double was told so");
    };
    if (when === "before") fail();
    const answer = work();
    if (when === "after") fail();
    return answer;
  };
  const historyOf = (address: string): ReadonlyMap<string, number> => {
    const found = histories.get(address);
    if (found === undefined || found.expiresS <= nowS()) return new Map();
    return found.scores;
  };
  const presence = (
    device: DeviceRef,
    seenUs: number,
    cause: string | null,
  ): void => {
    const text = JSON.stringify({
      device_id: device.deviceId,
      ...(device.tenant === DEFAULT_TENANT ? {} : { tenant: device.tenant }),
      online: cause === null,
      cause,
      last_seen: seenUs === 0 ? null : toIso(seenUs),
    });
    published.push({ channel: PRESENCE_CHANNEL, text });
  };

  const takeOut = (
    { device, seenUs, unlessAfterUs, cause }: WentOffline,
    publish: boolean,
  ): void => {
    const set = onlineSets.get(device.tenant);
    const seenS = set?.get(device.deviceId);
    if (set === undefined || seenS === undefined) return;
    if (seenS > toSeconds(unlessAfterUs)) return;
    set.delete(device.deviceId);
    if (set.size === 0) onlineSets.delete(device.tenant);
    if (publish) presence(device, seenUs, cause);
  };

  const apply = (write: ViewWrite): { marked: boolean } => {
    writes.push(write);
    const cutoffS = nowS() - options.historySeconds;
    const limitS =
      options.offlineAfterSeconds === undefined
        ? 0
        : nowS() - options.offlineAfterSeconds;
    for (const change of write.changes) {
      const { device, last, seenUs } = change;
      const texts = write.publish ? change.publish : [];
      if (change.history.length > 0 || texts.length > 0) {
        const scores = new Map(historyOf(device.address));
        for (const { member, score } of change.history)
          scores.set(member, score);
        for (const [member, score] of scores)
          if (score < cutoffS) scores.delete(member);
        histories.set(device.address, {
          scores,
          expiresS: nowS() + Math.ceil(options.historySeconds),
        });
      }
      for (const text of texts)
        published.push({ channel: updatesChannel(device.address), text });
      if (last !== null && isLater(last, lasts.get(device.address) ?? null)) {
        lasts.set(device.address, last);
        sites.set(device.address, device.site);
      }
      if (seenUs <= 0) continue;
      const set = onlineSets.get(device.tenant) ?? new Map<string, number>();
      onlineSets.set(device.tenant, set);
      const before = set.get(device.deviceId);
      const seenS = toSeconds(seenUs);
      set.set(device.deviceId, Math.max(seenS, before ?? 0));
      const came = before === undefined || before < limitS;
      if (write.publish && came && seenS >= limitS)
        presence(device, seenUs, null);
    }
    for (const { device, gone } of write.changes)
      if (gone !== null)
        takeOut(
          {
            device,
            seenUs: gone.seenUs,
            unlessAfterUs: gone.atUs,
            cause: DISCONNECTED,
          },
          write.publish,
        );
    if (write.mark === null) return { marked: false };
    const { topic, partition, from, to } = write.mark;
    const mark = marks.get(appliedKey(topic, partition));
    if (mark !== from && mark !== to) return { marked: false };
    marks.set(appliedKey(topic, partition), to);
    return { marked: true };
  };

  const view: DeviceView = {
    write: (write) => call(() => apply(write)),
    mark: (topic, partition) =>
      call(() => marks.get(appliedKey(topic, partition)) ?? null),
    setMark: (topic, partition, offset) =>
      call(() => {
        if (offset === null) marks.delete(appliedKey(topic, partition));
        else marks.set(appliedKey(topic, partition), offset);
      }),
    missingLast: (devices) =>
      call(() => devices.filter(({ address }) => !lasts.has(address))),
    offline: (changes) =>
      call(() => {
        for (const change of changes) takeOut(change, true);
      }),
    horizon: (untilMs, bridgesMs) =>
      call(() => {
        for (const [partition, ms] of untilMs) horizons.set(partition, ms);
        if (bridgesMs !== null) bridges = bridgesMs;
      }),
    onReconnect: (listener) => void listeners.push(listener),
    ping: () => call(() => undefined),
    async close() {
      closed = true;
    },
  };

  const reader: DeviceViewReader = {
    async last(address) {
      const last = lasts.get(address);
      return last === undefined
        ? null
        : { payload: last.payload, timestamp: toSeconds(last.timeUs) };
    },
    async history(address, fromS, toS, offset, limit) {
      return (
        [...historyOf(address)]
          .filter(([, score]) => score >= fromS && score <= toS)
          // As a sorted set does: by score, then by the member's bytes.
          .sort(
            (a, b) =>
              a[1] - b[1] ||
              Buffer.compare(Buffer.from(a[0]), Buffer.from(b[0])),
          )
          .slice(offset, offset + limit)
          .map(([member]) => member)
      );
    },
    async online(tenant, sinceS) {
      const set = onlineSets.get(tenant);
      if (set === undefined) return null;
      return [...set]
        .map(([deviceId, seenS]) => ({ deviceId, seenS }))
        .filter(({ seenS }) => seenS >= sinceS)
        .sort(
          (a, b) => a.seenS - b.seenS || (a.deviceId < b.deviceId ? -1 : 1),
        );
    },
    async heardSince(tenant, sinceS, limit) {
      return [...(onlineSets.get(tenant) ?? [])]
        .filter(([, seenS]) => seenS >= sinceS)
        .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? 1 : -1))
        .slice(0, limit)
        .map(([deviceId]) => deviceId);
    },
    async lastMessages(addresses) {
      return addresses.map((at) => {
        const last = lasts.get(at);
        const name = parseAddress(at);
        return last === undefined || name === null
          ? null
          : fullMessage({ ...name, ...last, site: sites.get(at) ?? null });
      });
    },
    async seen(tenant, deviceIds) {
      const set = onlineSets.get(tenant);
      if (set === undefined) return null;
      return deviceIds.map((id) => set.get(id) ?? null);
    },
    async horizon() {
      return horizons.size === 0
        ? null
        : { untilMs: Math.min(...horizons.values()), bridgesMs: bridges };
    },
    async rememberCommand(address, command) {
      commands.set(`${address} ${command.cmdId}`, command);
    },
    async acceptedCommand(address, cmdId) {
      return commands.get(`${address} ${cmdId}`) ?? null;
    },
    ping: async () => undefined,
    close: async () => undefined,
  };

  const reconnect = (): void => {
    for (const listener of listeners) listener();
  };
  return {
    view,
    reader,
    published,
    writes,
    last: lasts,
    history: historyOf,
    marks,
    failNext(calls, when = "before") {
      for (let i = 0; i < calls; i++) failures.push(when);
    },
    reconnect,
    loseEverything() {
      for (const map of [
        lasts,
        histories,
        onlineSets,
        marks,
        commands,
        horizons,
      ])
        map.clear();
      bridges = null;
      reconnect();
    },
  };
}
