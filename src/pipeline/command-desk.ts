/**
 * A lane's open commands: published once the flush that made them `queued` has committed, followed by what the broker
 * answers, and expired by the log's own time. Whether a change takes effect is decided in the flush, never here.
 */
import type { DeviceRef } from "../domain/device.js";
import type { CommandRequest } from "../domain/message.js";
import { reasonOf } from "../errors.js";
import type {
  Clock,
  CommandChange,
  CommandLink,
  Observer,
  OpenCommand,
} from "../ports.js";

export interface CommandDesk {
  /** Ids of the open commands that it knows. */
  readonly known: ReadonlySet<string>;
  /**
   * The open commands of the database: those not known as delivered are published again (same id). What was known before
   * the database was asked and is not among them has ended.
   */
  load(open: readonly OpenCommand[], knownBefore: ReadonlySet<string>): void;
  /** Commands that a flush has just made `queued`. */
  queued(
    commands: readonly { device: DeviceRef; request: CommandRequest }[],
  ): void;
  /** Commands that are in a terminal state now. */
  ended(cmdIds: readonly string[]): void;
  /** Devices that have just shown life: what waits for them is published. */
  awake(addresses: Iterable<string>): void;
  /** What waited for the broker is published; what found no subscriber waits for its device instead. */
  again(): void;
  /** Open commands whose time was over before `nowUs`. */
  overdue(nowUs: number): CommandRequest[];
  expire(requests: readonly CommandRequest[], evidence: string): void;
  end(): void;
}

interface Open {
  readonly device: DeviceRef;
  readonly request: CommandRequest;
  /** Published and not yet answered, or answered as delivered. */
  handed: boolean;
  /** The broker found no subscriber: it waits until its device shows life. */
  asleep: boolean;
  expiring: boolean;
  triedMs: number;
}

const opened = (
  device: DeviceRef,
  request: CommandRequest,
  handed: boolean,
): Open => ({
  device,
  request,
  handed,
  asleep: false,
  expiring: false,
  triedMs: 0,
});

/** A command that the broker found no subscriber for, or that found no broker, is tried again after this long. */
const RETRY_MS = 5000;

export function createCommandDesk(deps: {
  readonly link: CommandLink;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly changed: (changes: readonly CommandChange[]) => void;
}): CommandDesk {
  const { link, clock, observer, changed } = deps;
  const open = new Map<string, Open>();
  const byDevice = new Map<string, Set<string>>();
  let ended = false;

  /** Takes note of a command and answers what is known of it. */
  function put(entry: Open): Open {
    const { cmdId } = entry.request;
    const standing = open.get(cmdId);
    if (standing !== undefined) return standing;
    open.set(cmdId, entry);
    const { address } = entry.device;
    const ids = byDevice.get(address);
    if (ids === undefined) byDevice.set(address, new Set([cmdId]));
    else ids.add(cmdId);
    return entry;
  }

  function forget(cmdId: string): void {
    const entry = open.get(cmdId);
    if (entry === undefined) return;
    open.delete(cmdId);
    const ids = byDevice.get(entry.device.address);
    ids?.delete(cmdId);
    if (ids?.size === 0) byDevice.delete(entry.device.address);
  }

  const change = (
    entry: Open,
    state: CommandChange["state"],
    evidence: string,
  ): void => {
    if (ended) return;
    changed([
      { cmdId: entry.request.cmdId, state, atUs: clock() * 1000, evidence },
    ]);
    observer.emit({ type: "command", state, count: 1 });
  };

  function publish(entry: Open): void {
    const nowMs = clock();
    if (entry.handed || !link.connected()) return;
    if (entry.request.expiresUs <= nowMs * 1000) return;
    entry.handed = true;
    entry.triedMs = nowMs;
    change(entry, "sent", "handed to the broker");
    link.send(entry.device, entry.request, nowMs).then(
      (delivery) => {
        if (delivery === "delivered") {
          change(entry, "delivered", "the broker acknowledged it");
          return;
        }
        entry.handed = false;
        entry.asleep = true;
        change(entry, "queued", "no_subscriber");
      },
      (error: unknown) => {
        entry.handed = false;
        change(entry, "queued", `not handed over: ${reasonOf(error)}`);
      },
    );
  }

  return {
    get known() {
      return new Set(open.keys());
    },
    load(commands, knownBefore) {
      if (ended) return;
      const still = new Set(commands.map(({ request }) => request.cmdId));
      for (const cmdId of knownBefore) if (!still.has(cmdId)) forget(cmdId);
      for (const { device, request, state } of commands) {
        put(opened(device, request, state === "delivered"));
      }
      for (const entry of open.values()) publish(entry);
    },
    queued(commands) {
      for (const { device, request } of commands)
        publish(put(opened(device, request, false)));
      if (commands.length > 0)
        observer.emit({
          type: "command",
          state: "queued",
          count: commands.length,
        });
    },
    ended(cmdIds) {
      for (const cmdId of cmdIds) forget(cmdId);
    },
    awake(addresses) {
      if (byDevice.size === 0) return;
      const before = clock() - RETRY_MS;
      for (const address of addresses)
        for (const cmdId of byDevice.get(address) ?? []) {
          const entry = open.get(cmdId)!;
          entry.asleep = false;
          if (entry.triedMs < before) publish(entry);
        }
    },
    again() {
      const before = clock() - RETRY_MS;
      for (const entry of open.values())
        if (!entry.asleep && entry.triedMs < before) publish(entry);
    },
    overdue(nowUs) {
      const over: CommandRequest[] = [];
      for (const { request, expiring } of open.values())
        if (!expiring && request.expiresUs < nowUs) over.push(request);
      return over;
    },
    expire(requests, evidence) {
      for (const { cmdId } of requests) {
        const entry = open.get(cmdId);
        if (entry === undefined || entry.expiring) continue;
        entry.expiring = true;
        change(entry, "expired", evidence);
      }
    },
    end() {
      ended = true;
    },
  };
}
