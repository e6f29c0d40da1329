/** What one simulated device sends in its turns. Pure, and only from its own history and generator. */
import type { FleetPlan, Planned } from "./fleet.js";
import {
  CLOCK_STYLES,
  type ClockStyle,
  DIALECTS,
  type Dialect,
  PARSEC_POINTS,
  type Report,
  hello,
  normalised,
  parsec,
  plain,
  poison,
  timeText,
} from "./payloads.js";
import { type Random, seededRandom } from "./random.js";
import { type Temper, samplesAt, temperOf } from "./values.js";

/** A device so far. Changed in place by `takeTurn`: one for each device of the fleet, so it is kept small. */
export interface DeviceHistory {
  readonly device: number;
  readonly random: Random;
  readonly temper: Temper;
  readonly style: ClockStyle;
  seq: number;
  lastUs: number;
  /** Made, and kept back to be sent out of order. */
  readonly held: { readonly planned: Planned; readonly untilTurn: number }[];
  /** Sent lately: what a duplicate repeats. Empty where there are none to be. */
  readonly recent: Planned[];
}

export interface Turn {
  readonly number: number;
  /** Turns this device has left, this one included. */
  readonly left: number;
  /** Microseconds after the start. */
  readonly atUs: number;
}

/** A duplicate repeats one of so many messages. */
const RECENT = 3;
/** A message is held back for so many turns at most. */
const HELD_TURNS = 8;
/** Steps of a clock back that are meant, and not a device that sends faster than its clock ticks. */
const LEAST_SET_BACK_US = 60_000_000;
/** `seq` and `boot`. */
export const IDENTITY_POINTS = 2;

export function startHistory(fleet: FleetPlan, device: number): DeviceHistory {
  const random = seededRandom(fleet.seed, "device", device);
  return {
    device,
    random,
    temper: temperOf(random),
    style: CLOCK_STYLES[Math.floor(random() * CLOCK_STYLES.length)]!,
    seq: 0,
    lastUs: 0,
    held: [],
    recent: [],
  };
}

/** One message, always. */
export function takeTurn(
  fleet: FleetPlan,
  history: DeviceHistory,
  turn: Turn,
): Planned {
  const late = release(history, turn);
  if (late !== undefined) return remember(fleet, history, late);
  const { random, recent } = history;
  const draw = random();
  if (draw < fleet.poison) return makePoison(fleet, history, turn);
  if (draw < fleet.poison + fleet.duplicates && recent.length > 0) {
    const again = recent[Math.floor(random() * recent.length)]!;
    return { ...again, class: "dup", dueUs: turn.atUs };
  }
  let made = makeMessage(fleet, history, turn);
  if (made.class === "ok" && random() < holdChance(fleet)) {
    if (history.held.length + 1 < turn.left) {
      const turns = 1 + Math.floor(random() * HELD_TURNS);
      history.held.push({ planned: made, untilTurn: turn.number + turns });
      made = makeMessage(fleet, history, turn);
    }
  }
  return remember(fleet, history, made);
}

/** Of so many turns that make a message, so that the share holds among all that is sent: each one held takes a turn later. */
function holdChance({ outOfOrder }: FleetPlan): number {
  return outOfOrder === 0 ? 0 : Math.min(1, outOfOrder / (1 - outOfOrder));
}

/** What was held until now, or has to go because the turns run out. */
function release(history: DeviceHistory, turn: Turn): Planned | undefined {
  const { held } = history;
  if (held.length === 0) return undefined;
  const ready =
    held.length >= turn.left
      ? 0
      : held.findIndex(({ untilTurn }) => untilTurn <= turn.number);
  const [freed] = ready < 0 ? [] : held.splice(ready, 1);
  return freed && { ...freed.planned, class: "late", dueUs: turn.atUs };
}

function remember(
  fleet: FleetPlan,
  history: DeviceHistory,
  planned: Planned,
): Planned {
  if (fleet.duplicates > 0 && planned.class !== "hello") {
    history.recent.push(planned);
    if (history.recent.length > RECENT) history.recent.shift();
  }
  return planned;
}

function makeMessage(
  fleet: FleetPlan,
  history: DeviceHistory,
  turn: Turn,
): Planned {
  const { random } = history;
  const dialect = chooseDialect(fleet, random());
  const wanted =
    dialect === "normalised" || dialect === "plain"
      ? fleet.points - IDENTITY_POINTS
      : 0;
  const { timeUs, report } = nextReport(fleet, history, turn, wanted);
  return {
    device: history.device,
    seq: report.seq,
    class: dialect === "hello" ? "hello" : "ok",
    dueUs: turn.atUs,
    timeUs,
    payload: Buffer.from(write(fleet, dialect, report, random)),
    points: pointsOf(dialect, fleet.points),
    reason: null,
  };
}

function makePoison(
  fleet: FleetPlan,
  history: DeviceHistory,
  turn: Turn,
): Planned {
  const { timeUs, report } = nextReport(fleet, history, turn, 1);
  const { bytes, reason } = poison(report, history.random);
  return {
    device: history.device,
    seq: report.seq,
    class: "poison",
    dueUs: turn.atUs,
    timeUs,
    payload: bytes,
    points: 0,
    reason,
  };
}

/** Each report has a time of its own, a step of the device's clock after the one before at least, unless it is set back. */
function nextReport(
  fleet: FleetPlan,
  history: DeviceHistory,
  turn: Turn,
  samples: number,
): { timeUs: number; report: Report } {
  const stepUs = history.style === "iso-micros" ? 1 : 1000;
  const nowUs = fleet.startUs + Math.floor(turn.atUs / stepUs) * stepUs;
  // A clock that is set back goes on from there; one that is a little behind its own messages waits for itself.
  const setBack = nowUs < history.lastUs - LEAST_SET_BACK_US;
  const timeUs = setBack ? nowUs : Math.max(nowUs, history.lastUs + stepUs);
  history.lastUs = timeUs;
  history.seq += 1;
  return {
    timeUs,
    report: {
      seq: history.seq,
      boot: bootOf(fleet.startUs),
      ts: timeText(timeUs, history.style),
      samples: samplesAt(timeUs, samples, history.temper, history.random),
    },
  };
}

/** Unix milliseconds of the start: a whole number that a double holds exactly. */
export function bootOf(startUs: number): number {
  return Math.floor(startUs / 1000);
}

function chooseDialect({ mix }: FleetPlan, draw: number): Dialect {
  let total = 0;
  for (const dialect of DIALECTS) total += mix[dialect];
  let left = draw * total;
  for (const dialect of DIALECTS) {
    left -= mix[dialect];
    if (left < 0) return dialect;
  }
  return "normalised";
}

function write(
  fleet: FleetPlan,
  dialect: Dialect,
  report: Report,
  random: Random,
): string {
  switch (dialect) {
    case "normalised":
      return normalised(report);
    case "plain":
      return plain(report);
    case "parsec":
      return parsec(report, random);
    case "hello":
      return fleet.tenants ? "online" : hello(report);
    default:
      return dialect satisfies never;
  }
}

function pointsOf(dialect: Dialect, points: number): number {
  if (dialect === "hello") return 0;
  return dialect === "parsec" ? PARSEC_POINTS : points;
}
