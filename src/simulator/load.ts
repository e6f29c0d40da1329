/**
 * The run: the fleet's connections, each working through the plan of its own devices, at the plan's pace where it has one
 * and else as fast as its broker acknowledges. A connection that is lost or slow delays its own devices only.
 *
 * Modes: connecting → sending → finishing (all sent, time over, or told to stop: waits for the answers to what is under
 * way, within a deadline) → over. (Over 300 lines: the modes are moved in one place.)
 */
import {
  type DeviceClient,
  createDeviceClient,
} from "../adapters/mqtt/device-client.js";
import { connectAll } from "./connect-all.js";
import { bootOf } from "./device-turns.js";
import type { SimulatedDevice } from "./devices.js";
import type { Planned } from "./fleet.js";
import type { DeviceLogIn } from "./log-ins.js";
import { type Ending, type Ledger, ledgerLine } from "./ledger.js";
import { type Message, compose } from "./message.js";
import type { Plan } from "./plan.js";
import { createResponder } from "./responder.js";
import { type Progress, type Summary, startTally } from "./tally.js";

export interface LoadSettings {
  readonly url: string;
  readonly devices: readonly SimulatedDevice[];
  /** At most as many as there are devices. */
  readonly connections: number;
  /** Client id of a connection that several devices share, before its number; a device of its own connects as itself. */
  readonly clientId: string;
  /** What a device of its own connection logs in with, by device id; the others with what the URL has. */
  readonly logIns: ReadonlyMap<string, DeviceLogIn>;
  readonly qos: 0 | 1;
  /** Messages without an answer on one connection at most. */
  readonly inFlight: number;
  readonly seed: number;
  /** Start of device clocks, microseconds since the Unix epoch; null: the moment when all are connected. */
  readonly startUs: number | null;
  readonly plan: (startUs: number, devices: readonly number[]) => Plan;
  /** No further message after so many seconds; Infinity for none such. */
  readonly seconds: number;
  /** How long the last answers are waited for, seconds. */
  readonly drainSeconds: number;
  readonly answerCommands: boolean;
  readonly ledger: Ledger | null;
  /** Ends the sending; what is under way is waited for. */
  readonly signal: AbortSignal;
  /** Called each second while it runs. */
  readonly progress: (progress: Progress) => void;
}

/** A connection and what its devices have to say. */
interface Line {
  readonly devices: readonly number[];
  readonly client: DeviceClient<Message>;
  readonly acks: Message[];
  plan: Plan | null;
  ready: boolean;
  /** A further `pump` is on its way. */
  again: boolean;
}

/** How often a paced plan is looked at: messages are sent up to this much after they are due. */
const TICK_MS = 4;
const PROGRESS_MS = 1000;
const REFUSED_FROM = 0x80;

/** Unix milliseconds to the microsecond; steady, other than the system's clock. */
const now = () =>
  Math.round((performance.timeOrigin + performance.now()) * 1000) / 1000;

/** @throws TwinstreamError BROKER_UNREACHABLE, CONFIG_INVALID; the ledger's error */
export async function runLoad(settings: LoadSettings): Promise<Summary> {
  const { devices, ledger, qos, signal } = settings;
  const tally = startTally();
  const responder = createResponder(settings.seed);
  const byCommandTopic = new Map<string, SimulatedDevice>();
  if (settings.answerCommands)
    for (const device of devices)
      byCommandTopic.set(device.topics.commands, device);
  const executing = new Set<NodeJS.Timeout>();
  const lines = Array.from({ length: settings.connections }, (_, i) => line(i));
  let beganMs = now();
  let boot = 0;
  let sending = false;

  function line(number: number): Line {
    const mine: number[] = [];
    for (let i = number; i < devices.length; i += settings.connections)
      mine.push(i);
    const alone = mine.length === 1 ? devices[mine[0]!]! : null;
    const logIn = settings.logIns.get(alone?.deviceId ?? "");
    const client = createDeviceClient<Message>(
      {
        url: urlFor(settings.url, logIn),
        clientId:
          logIn?.clientId ??
          alone?.address.replace("/", ":") ??
          `${settings.clientId}${number + 1}`,
        filters: settings.answerCommands
          ? mine.map((index) => devices[index]!.topics.commands)
          : [],
        qos,
        inFlight: settings.inFlight,
        now,
      },
      {
        answered: (message, reason) =>
          end(message, {
            outcome: reason < REFUSED_FROM ? "acked" : "refused",
            code: reason,
            tPuback: now(),
          }),
        unanswered: (message) => record(message, UNANSWERED),
        writable: () => pump(self),
        received: (topic, payload) => execute(self, topic, payload),
        connection(ready) {
          if (self.ready && !ready) tally.count.connectionsLost += 1;
          self.ready = ready;
        },
      },
    );
    const self: Line = {
      devices: mine,
      client,
      acks: [],
      plan: null,
      ready: false,
      again: false,
    };
    return self;
  }

  /** Sends what is due and has room. */
  function pump(on: Line): void {
    on.again = false;
    const free = on.client.room();
    let room = free;
    for (; room > 0 && on.acks.length > 0; room -= 1)
      on.client.publish(on.acks.shift()!);
    const { plan } = on;
    if (sending && plan !== null && !ledger?.full()) {
      const sinceUs = (now() - beganMs) * 1000;
      for (; room > 0; room -= 1) {
        const dueUs = plan.dueUs();
        if (dueUs > sinceUs) break;
        send(on, plan.next(), dueUs === 0 ? 0 : (sinceUs - dueUs) / 1000);
      }
    }
    on.client.flush();
    // With QoS 0 no PUBACK asks for more.
    if (qos === 0 && free > 0 && room === 0 && !on.again) {
      on.again = true;
      setImmediate(pump, on);
    }
  }

  function send(on: Line, planned: Planned, behindMs: number): void {
    const device = devices[planned.device]!;
    const { data, hello } = device.topics;
    const topic = planned.class === "hello" ? hello : data;
    const message = compose(device, topic, planned.payload, planned);
    tally.sent(planned, behindMs);
    on.client.publish(message);
    if (qos === 0 && !message.settled) end(message, UNANSWERED);
  }

  function record(message: Message, ending: Ending): void {
    const { planned, attempt } = message;
    if (planned === null || ledger === null || message.recorded >= attempt)
      return;
    message.recorded = attempt;
    const run = { dev: message.device.address, boot };
    ledger.write(ledgerLine(planned, run, message, ending));
  }

  function end(message: Message, ending: Ending): void {
    message.settled = true;
    if (message.planned === null) {
      if (ending.outcome === "acked") tally.commands.acksAcked += 1;
      return;
    }
    record(message, ending);
    tally.settled(message.planned, message, ending);
  }

  function execute(on: Line, topic: string, payload: Buffer): void {
    const device = byCommandTopic.get(topic);
    if (device === undefined) return;
    const answer = responder.answer(device.address, payload, now());
    if (answer === null) {
      tally.commands.unreadable += 1;
      return;
    }
    tally.commands[answer.repeated ? "repeated" : "executed"] += 1;
    const timer = setTimeout(() => {
      executing.delete(timer);
      on.acks.push(compose(device, device.topics.ack, answer.ack, null));
      pump(on);
    }, answer.delayMs);
    executing.add(timer);
  }

  const allPlanned = () =>
    lines.every(({ plan }) => plan === null || plan.dueUs() === Infinity);
  const waiting = () =>
    lines.reduce((sum, { client }) => sum + client.pendingCount(), 0);
  const idle = () =>
    executing.size === 0 &&
    lines.every(
      ({ acks, client }) => acks.length === 0 && client.pendingCount() === 0,
    );

  /** Resolves when nothing more is to be sent or waited for. */
  function work(): Promise<void> {
    return new Promise((resolve, reject) => {
      let deadlineMs = Infinity;
      let nextProgressMs = beganMs;
      const timer = setInterval(() => {
        // First, so that what is due before the end is sent before it.
        for (const each of lines) pump(each);
        const nowMs = now();
        if (nowMs >= nextProgressMs) {
          nextProgressMs = nowMs + PROGRESS_MS;
          settings.progress(progressAt(nowMs));
        }
        const failure = ledger?.failure();
        if (failure) {
          clearInterval(timer);
          reject(failure);
          return;
        }
        if (
          sending &&
          (signal.aborted ||
            nowMs - beganMs >= settings.seconds * 1000 ||
            allPlanned())
        )
          sending = false;
        if (!sending && deadlineMs === Infinity)
          deadlineMs = nowMs + settings.drainSeconds * 1000;
        if (!sending && (idle() || nowMs >= deadlineMs)) {
          clearInterval(timer);
          resolve();
          return;
        }
      }, TICK_MS);
    });
  }

  function progressAt(nowMs: number): Progress {
    return {
      seconds: (nowMs - beganMs) / 1000,
      sent: tally.count.sent,
      acked: tally.count.acked,
      refused: tally.count.refused,
      waiting: waiting(),
      connected: lines.filter(({ ready }) => ready).length,
      connections: lines.length,
    };
  }

  try {
    await connectAll(
      lines.map(({ client }) => client),
      signal,
    );
    const startUs = settings.startUs ?? Date.now() * 1000;
    boot = bootOf(startUs);
    for (const each of lines) each.plan = settings.plan(startUs, each.devices);
    beganMs = now();
    sending = !signal.aborted;
    await work();
    for (const { client } of lines)
      for (const message of client.pending()) end(message, UNANSWERED);
    return tally.summary(
      {
        ended: signal.aborted && !allPlanned() ? "stopped" : "completed",
        devices: devices.length,
        connections: lines.length,
        qos,
        seed: settings.seed,
        start: boot,
      },
      beganMs,
    );
  } finally {
    sending = false;
    for (const timer of executing) clearTimeout(timer);
    await Promise.all(lines.map(({ client }) => client.close()));
  }
}

function urlFor(url: string, logIn: DeviceLogIn | undefined): string {
  if (logIn === undefined) return url;
  const own = new URL(url);
  own.username = logIn.username;
  own.password = logIn.password;
  return own.href;
}

const UNANSWERED: Ending = { outcome: "unknown", code: 0, tPuback: null };
