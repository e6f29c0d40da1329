/**
 * A write of the view as Redis commands. Pure: the same write at the same time gives the same bytes.
 *
 * A device's messages travel once: they are the members of its history and what is published, in one script.
 */
import type { DeviceRef, LastState, ViewChange } from "../../domain/device.js";
import {
  appliedKey,
  DEFAULT_TENANT,
  historyKey,
  lastStateKey,
  onlineKey,
  PRESENCE_CHANNEL,
  updatesChannel,
} from "../../domain/names.js";
import { DISCONNECTED } from "../../domain/presence.js";
import { toIso, toSeconds } from "../../domain/time.js";
import type { ViewWrite, WentOffline } from "../../ports.js";
import type { CommandBuffer } from "./command-buffer.js";
import { HISTORY, LAST_STATE, MOVE_MARK, OFFLINE, ONLINE } from "./scripts.js";

/** Lua's `unpack` puts at most 8,000 values on its stack; and no script should hold Redis up for more than a millisecond. */
const ENTRIES_PER_SCRIPT = 1_000;

export interface ViewRules {
  readonly historySeconds: number;
  /** A device last seen longer ago is offline; null when only leaving the set makes it so. */
  readonly offlineAfterSeconds: number | null;
}

/** Puts a whole write into the buffer, its compare-and-set last. `nowS` is Unix seconds. */
export function putWrite(
  out: CommandBuffer,
  write: ViewWrite,
  rules: ViewRules,
  nowS: number,
): void {
  const window = windowOf(rules, nowS);
  const seen = new Map<string, ViewChange[]>();
  for (const change of write.changes) {
    putMessages(out, change, write.publish, window);
    if (change.last !== null) putLast(out, change.device, change.last);
    if (change.seenUs > 0) {
      const ofTenant = seen.get(change.device.tenant);
      if (ofTenant === undefined) seen.set(change.device.tenant, [change]);
      else ofTenant.push(change);
    }
  }
  const limitS =
    rules.offlineAfterSeconds === null ? 0 : nowS - rules.offlineAfterSeconds;
  for (const [tenant, changes] of seen)
    for (let i = 0; i < changes.length; i += ENTRIES_PER_SCRIPT)
      putSeen(
        out,
        tenant,
        changes.slice(i, i + ENTRIES_PER_SCRIPT),
        limitS,
        write.publish,
      );
  // After those that were seen: who came and went within the batch is gone.
  for (const { device, gone } of write.changes)
    if (gone !== null)
      putOffline(out, {
        device,
        seenUs: gone.seenUs,
        unlessAfterUs: gone.atUs,
        cause: DISCONNECTED,
        publish: write.publish,
      });
  if (write.mark !== null) {
    const { topic, partition, from, to } = write.mark;
    out.script(MOVE_MARK, appliedKey(topic, partition), 2);
    out.arg(String(from));
    out.arg(String(to));
  }
}

/** Takes one device out of the online set, unless it was seen after that. */
export function putOffline(
  out: CommandBuffer,
  {
    device,
    seenUs,
    unlessAfterUs,
    cause,
    publish,
  }: WentOffline & { publish: boolean },
): void {
  out.script(OFFLINE, onlineKey(device.tenant), 4);
  out.arg(device.deviceId);
  out.arg(String(toSeconds(unlessAfterUs)));
  out.arg(publish ? PRESENCE_CHANNEL : "");
  out.arg(
    JSON.stringify({
      device_id: device.deviceId,
      ...(device.tenant === DEFAULT_TENANT ? {} : { tenant: device.tenant }),
      online: false,
      cause,
      last_seen: seenUs === 0 ? null : toIso(seenUs),
    }),
  );
}

/** The history's window, the same for all of a write. */
interface Window {
  readonly cutoffS: number;
  /** As ZREMRANGEBYSCORE takes it. */
  readonly trimBelow: string;
  readonly expirySeconds: string;
}

function windowOf({ historySeconds }: ViewRules, nowS: number): Window {
  const cutoffS = nowS - historySeconds;
  return {
    cutoffS,
    trimBelow: `(${cutoffS}`,
    expirySeconds: String(Math.ceil(historySeconds)),
  };
}

function putMessages(
  out: CommandBuffer,
  change: ViewChange,
  publish: boolean,
  { cutoffS, trimBelow, expirySeconds }: Window,
): void {
  const history = change.history.some((entry) => entry.score < cutoffS)
    ? change.history.filter((entry) => entry.score >= cutoffS)
    : change.history;
  const texts = publish ? change.publish : [];
  if (change.history.length === 0 && texts.length === 0) return;
  const key = historyKey(change.device.address);
  // Usually what is published is what enters the history; a message too old for the history is only published.
  const same =
    history.length === texts.length &&
    history.every((entry, i) => entry.member === texts[i]);
  const parts = Math.max(
    1,
    Math.ceil(history.length / ENTRIES_PER_SCRIPT),
    Math.ceil(texts.length / ENTRIES_PER_SCRIPT),
  );
  for (let part = 0; part < parts; part++) {
    const from = part * ENTRIES_PER_SCRIPT;
    const to = from + ENTRIES_PER_SCRIPT;
    const entries = parts === 1 ? history : history.slice(from, to);
    const extra = same ? [] : parts === 1 ? texts : texts.slice(from, to);
    out.script(HISTORY, key, 4 + 2 * entries.length + extra.length);
    out.arg(trimBelow);
    out.arg(expirySeconds);
    out.arg(
      extra.length > 0 || (same && texts.length > 0)
        ? updatesChannel(change.device.address)
        : "",
    );
    out.arg(String(4 + 2 * entries.length));
    for (const { score, member } of entries) {
      out.arg(String(score));
      out.arg(member);
    }
    for (const text of extra) out.arg(text);
  }
}

function putLast(out: CommandBuffer, device: DeviceRef, last: LastState): void {
  const withTenant = device.tenant !== DEFAULT_TENANT;
  out.script(
    LAST_STATE,
    lastStateKey(device.address),
    4 + (withTenant ? 2 : 0) + (device.site === null ? 0 : 2),
  );
  out.arg(String(last.orderUs));
  out.arg(String(last.offset));
  out.arg(last.payload);
  out.arg(String(toSeconds(last.timeUs)));
  if (withTenant) {
    out.arg("tenant");
    out.arg(device.tenant);
  }
  if (device.site !== null) {
    out.arg("site");
    out.arg(device.site);
  }
}

function putSeen(
  out: CommandBuffer,
  tenant: string,
  changes: readonly ViewChange[],
  limitS: number,
  publish: boolean,
): void {
  out.script(ONLINE, onlineKey(tenant), 4 + changes.length * (publish ? 3 : 2));
  out.arg(String(limitS));
  out.arg(publish ? PRESENCE_CHANNEL : "");
  out.arg(tenant === DEFAULT_TENANT ? "" : `"tenant":"${tenant}",`);
  out.arg(String(changes.length));
  for (const { device, seenUs } of changes) {
    out.arg(String(toSeconds(seenUs)));
    out.arg(device.deviceId);
  }
  if (!publish) return;
  // Arrivals of a batch lie close together: the date is written once a second, not once a device.
  let second = Number.NaN;
  let date = "";
  for (const { seenUs } of changes) {
    const ofSecond = Math.floor(toSeconds(seenUs));
    if (ofSecond !== second) {
      second = ofSecond;
      date = toIso(second * 1_000_000).slice(0, "2025-10-07T15:30:00.".length);
    }
    const ms = Math.floor(seenUs / 1000) - second * 1000;
    out.arg(`${date}${String(ms).padStart(3, "0")}Z`);
  }
}
