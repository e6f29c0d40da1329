/**
 * The fleet's plan: who sends what, and when, from the seed alone. Pure: no clock, no I/O.
 *
 * Devices take turns: device d of D has its turn n at place n × D + d of the whole run, and each turn is one message. What
 * a device sends in its turns depends on seed, start and its own index, not on how the fleet is spread over connections, so
 * every connection works through a plan of its own devices at its own pace and a run can be repeated byte by byte.
 */
import type { Backlog, FleetPlan, Planned } from "./fleet.js";
import { type DeviceHistory, startHistory, takeTurn } from "./device-turns.js";

/** The messages of one connection, in the order in which they are to be sent. */
export interface Plan {
  /** When the next message is due (microseconds after the start; 0 where the rate is free); Infinity when there is none. */
  dueUs(): number;
  /** The next message. Not to be called when `dueUs` is Infinity. */
  next(): Planned;
}

/** Without a rate device clocks go by message, slower than any broker takes them, so that payloads do not depend on speed. */
const UNPACED_STEP_US = 10;

const NO_BACKLOG: Backlog = { after: 0, turns: 0, spanUs: 0 };

/** The plan of some of the fleet's devices, by ascending index. */
export function planFor(fleet: FleetPlan, devices: readonly number[]): Plan {
  const histories: (DeviceHistory | undefined)[] = [];
  const stepUs = fleet.rate === 0 ? UNPACED_STEP_US : 1e6 / fleet.rate;
  const backlog = fleet.backlog ?? NO_BACKLOG;
  const keptStepUs = backlog.spanUs / Math.max(1, backlog.turns);
  let turn = 0;
  let at = 0;

  const place = () => turn * fleet.devices + (devices[at] ?? 0);
  const ended = () => devices.length === 0 || place() >= fleet.messages;

  /** Turns of a backlog take no time of the run, or what the links take, and their own of the device's. */
  const backlogDone = () =>
    Math.min(Math.max(0, turn - backlog.after), backlog.turns);
  const elapsedUs = () => (place() - backlogDone() * fleet.devices) * stepUs;

  function dueUs(): number {
    if (ended()) return Infinity;
    return fleet.rate === 0
      ? 0
      : elapsedUs() + backlogDone() * (backlog.everyUs ?? 0);
  }

  function next(): Planned {
    const device = devices[at]!;
    const history = (histories[at] ??= startHistory(fleet, device));
    const planned = takeTurn(fleet, history, {
      number: turn,
      left: Math.ceil((fleet.messages - place()) / fleet.devices),
      atUs: Math.floor(elapsedUs() + backlogDone() * keptStepUs),
    });
    at += 1;
    if (at === devices.length) {
      at = 0;
      turn += 1;
    }
    return planned;
  }

  return { dueUs, next };
}
