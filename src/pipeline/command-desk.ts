/**
 * A lane's open commands: published once the flush that made them `queued` has committed, a few at a time for each device,
 * oldest first, followed by what the broker answers, and expired by the log's own time. Whether a change takes effect, and
 * whether a condition holds, is decided in the flush, never here. (Over 300 lines: the phases are moved in one place.)
 *
 * A command's phase is one of
 * - waiting: for its turn, for the broker, or for its device to show life.
 * - judging: the flush is asked whether its condition holds.
 * - handed: published, and not yet answered by the broker.
 * - delivered: the broker has it.
 */
import type { DeviceRef } from "../domain/device.js";
import { NO_SUBSCRIBER } from "../domain/command-life.js";
import type { CommandRequest } from "../domain/message.js";
import { reasonOf } from "../errors.js";
import type {
  Clock,
  CommandChange,
  CommandLink,
  Observer,
  OpenCommand,
  ToJudge,
  Tracer,
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
  /** Commands whose condition a flush has just found to hold. */
  judged(cmdIds: readonly string[]): void;
  /** Commands that are in a terminal state now. */
  ended(cmdIds: readonly string[]): void;
  /** Devices that have just shown life: what waits for them is published. */
  awake(addresses: Iterable<string>): void;
  /** What waited for the broker or for its turn is published; what found no subscriber waits for its device instead. */
  again(): void;
  /** Open commands whose time was over before `nowUs`. */
  overdue(nowUs: number): CommandRequest[];
  expire(requests: readonly CommandRequest[], evidence: string): void;
  end(): void;
}

interface Open {
  readonly request: CommandRequest;
  readonly of: Recipient;
  phase: "waiting" | "judging" | "handed" | "delivered";
  /** Its condition holds, or held when it may have been sent: it is sent without asking again. */
  judged: boolean;
  expiring: boolean;
  /** When it was last published, and may have reached somebody. */
  triedMs: number;
}

interface Recipient {
  readonly device: DeviceRef;
  /** Every open command in phase `waiting`, oldest first. */
  waiting: Open[];
  /** Those under way, with the time since when: each takes a place of the window until it ends or PACE_MS is over. */
  readonly underWay: Map<Open, number>;
  /** The broker found no subscriber: what waits, waits until the device shows life. */
  asleep: boolean;
  /** Nothing is published before: it showed life just after nobody was subscribed. The whole queue waits, in its order. */
  restUntilMs: number;
  open: number;
}

/** A command that the broker found no subscriber for, or that found no broker, is tried again after this long. */
const RETRY_MS = 5000;
/** Commands under way to one device at most: one that comes back to a long queue is not flooded. */
const WINDOW = 8;
/** A device that does not acknowledge gets the next ones after this long: a stuck command holds no other up for longer. */
const PACE_MS = 1000;

export function createCommandDesk(deps: {
  readonly link: CommandLink;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly tracer?: Tracer | undefined;
  readonly changed: (changes: readonly CommandChange[]) => void;
  /** Asks the next flush; `judged` or `ended` answers. */
  readonly judge: (one: ToJudge) => void;
}): CommandDesk {
  const { link, clock, observer, changed } = deps;
  const open = new Map<string, Open>();
  /** By address. */
  const recipients = new Map<string, Recipient>();
  let ended = false;

  /** Takes note of a command that is not known yet. */
  function put(
    device: DeviceRef,
    request: CommandRequest,
    delivered: boolean,
    judged: boolean,
  ): Open {
    const { address } = device;
    let of = recipients.get(address);
    if (of === undefined) {
      of = {
        device,
        waiting: [],
        underWay: new Map(),
        asleep: false,
        restUntilMs: 0,
        open: 0,
      };
      recipients.set(address, of);
    }
    const entry: Open = {
      request,
      of,
      phase: delivered ? "delivered" : "waiting",
      judged,
      expiring: false,
      triedMs: -Infinity,
    };
    open.set(request.cmdId, entry);
    of.open++;
    if (!delivered) of.waiting.push(entry);
    return entry;
  }

  /** Answers whose command it was. */
  function forget(cmdId: string): Recipient | null {
    const entry = open.get(cmdId);
    if (entry === undefined) return null;
    const { of } = entry;
    open.delete(cmdId);
    of.underWay.delete(entry);
    if (entry.phase === "waiting")
      of.waiting = of.waiting.filter((one) => one !== entry);
    if (--of.open === 0) recipients.delete(of.device.address);
    return of;
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
    // How commands ended, the flush says.
    if (state !== "expired")
      observer.emit({ type: "command", state, count: 1 });
  };

  /** Publishes what waits for this device and has a place in its window. */
  function pump(of: Recipient): void {
    if (ended || of.asleep || of.waiting.length === 0 || !link.connected())
      return;
    const nowMs = clock();
    if (nowMs <= of.restUntilMs) return;
    for (const [entry, sinceMs] of of.underWay)
      if (sinceMs <= nowMs - PACE_MS) of.underWay.delete(entry);
    const still: Open[] = [];
    for (const [i, entry] of of.waiting.entries()) {
      if (of.underWay.size >= WINDOW) {
        still.push(...of.waiting.slice(i));
        break;
      }
      if (isOver(entry, nowMs) || entry.triedMs >= nowMs - RETRY_MS) {
        still.push(entry);
        continue;
      }
      of.underWay.set(entry, nowMs);
      if (entry.judged || entry.request.precondition === null) publish(entry);
      else {
        entry.phase = "judging";
        deps.judge({ cmdId: entry.request.cmdId, atUs: nowMs * 1000 });
      }
    }
    of.waiting = still;
  }

  function publish(entry: Open): void {
    const nowMs = clock();
    entry.phase = "handed";
    entry.triedMs = nowMs;
    entry.of.underWay.set(entry, nowMs);
    change(entry, "sent", "handed to the broker");
    const { traceparent: from } = entry.request;
    const span =
      from === undefined
        ? undefined
        : deps.tracer?.start("command publish", "producer", [from]);
    const request =
      span === undefined
        ? entry.request
        : { ...entry.request, traceparent: span.traceparent };
    link.send(entry.of.device, request, nowMs).then(
      (delivery) => {
        span?.end(delivery === "delivered" ? undefined : NO_SUBSCRIBER);
        if (delivery === "delivered") {
          entry.phase = "delivered";
          change(entry, "delivered", "the broker acknowledged it");
          return;
        }
        entry.of.asleep = true;
        entry.of.restUntilMs = nowMs + RETRY_MS;
        entry.judged = false;
        entry.triedMs = -Infinity;
        change(entry, "queued", NO_SUBSCRIBER);
        waitAgain(entry);
      },
      (error: unknown) => {
        span?.end(error);
        change(entry, "queued", `not handed over: ${reasonOf(error)}`);
        waitAgain(entry);
      },
    );
  }

  function waitAgain(entry: Open): void {
    if (!open.has(entry.request.cmdId)) return;
    const { of } = entry;
    entry.phase = "waiting";
    of.underWay.delete(entry);
    // Before those that were given later.
    const place = of.waiting.findIndex(
      ({ request }) =>
        request.createdUs > entry.request.createdUs ||
        (request.createdUs === entry.request.createdUs &&
          request.cmdId > entry.request.cmdId),
    );
    of.waiting.splice(place === -1 ? of.waiting.length : place, 0, entry);
    pump(of);
  }

  return {
    get known() {
      return new Set(open.keys());
    },
    load(commands, knownBefore) {
      if (ended) return;
      const still = new Set(commands.map(({ request }) => request.cmdId));
      for (const cmdId of knownBefore) if (!still.has(cmdId)) forget(cmdId);
      for (const { device, request, state, judged } of commands) {
        const known = open.get(request.cmdId);
        if (known === undefined)
          put(device, request, state === "delivered", judged);
        else if (known.phase === "judging") {
          known.judged = judged;
          waitAgain(known);
        }
      }
      for (const of of recipients.values()) pump(of);
    },
    queued(commands) {
      for (const { device, request } of commands) {
        const { of } =
          open.get(request.cmdId) ?? put(device, request, false, false);
        of.asleep = false;
        pump(of);
      }
      if (commands.length > 0)
        observer.emit({
          type: "command",
          state: "queued",
          count: commands.length,
        });
    },
    judged(cmdIds) {
      for (const cmdId of cmdIds) {
        const entry = open.get(cmdId);
        if (ended || entry?.phase !== "judging") continue;
        const canGo = link.connected() && !isOver(entry, clock());
        entry.judged = canGo;
        // Otherwise it was not sent, and is judged again when it can be.
        if (canGo) publish(entry);
        else waitAgain(entry);
      }
    },
    ended(cmdIds) {
      const free = new Set<Recipient>();
      for (const cmdId of cmdIds) {
        const of = forget(cmdId);
        if (of !== null) free.add(of);
      }
      for (const of of free) pump(of);
    },
    awake(addresses) {
      if (recipients.size === 0) return;
      for (const address of addresses) {
        const of = recipients.get(address);
        if (of === undefined) continue;
        of.asleep = false;
        pump(of);
      }
    },
    again() {
      for (const of of recipients.values()) pump(of);
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

const isOver = ({ request }: Open, nowMs: number): boolean =>
  request.expiresUs <= nowMs * 1000;
