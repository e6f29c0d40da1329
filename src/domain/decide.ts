/**
 * What a batch of messages does to a device: `applyMessages(state, messages, now) → { state, effects }`, pure. Replaying
 * messages gives the same effects again; the stores make the repetition harmless.
 */
import {
  type DeviceState,
  type Effects,
  type LastState,
  newState,
  type Order,
  type Sensor,
} from "./device.js";
import { appended, type Draft, draftOf, effectsOf } from "./effects.js";
import { fullMessage } from "./envelope.js";
import { deadLetterOf, readingBytes } from "./message-letter.js";
import {
  type BulkMessage,
  type DataMessage,
  type DeadLetter,
  HEADER,
  type Message,
  type Point,
} from "./message.js";
import { unbearable } from "./points.js";
import { isReplay } from "./replay.js";
import { compact, editableSensors, findSensor, putSensor } from "./sensors.js";
import { toSeconds } from "./time.js";

export interface DeviceRules {
  /** Messages whose time is older than this before now are left out of the history, microseconds. */
  readonly historyUs: number;
  readonly tenantPrefix: string;
}
export type ApplyMessages = (
  state: DeviceState,
  messages: readonly Message[],
  nowMs: number,
) => { state: DeviceState; effects: Effects };

/** Messages without a time of their own that a device is remembered by, to know a redelivered one (contracts, 1.2). */
const UNTIMED_KEPT = 16;

export function newDevice(
  message: Pick<Message, "address" | "tenant" | "deviceId" | "site">,
): DeviceState {
  const { address, tenant, deviceId, site } = message;
  return newState({ address, tenant, deviceId, site, equipmentId: 0 });
}

/** Arrivals are whole milliseconds: a reading less than one later than its arrival is not ahead of it. */
const ARRIVAL_STEP_US = 999;

/** min(reading's time, arrival), by which a device's newest message is found: a clock that is ahead cannot freeze it. */
export const orderOf = (timeUs: number, arrivalUs: number): number =>
  Math.min(timeUs, arrivalUs + ARRIVAL_STEP_US);

/** Later by `orderOf`, then by place in the log. */
export function isLater(a: Order, b: Order | null): boolean {
  if (b === null) return true;
  return (
    a.orderUs > b.orderUs || (a.orderUs === b.orderUs && a.offset > b.offset)
  );
}

/** The reducer under these rules. */
export function deviceReducer(rules: DeviceRules): ApplyMessages {
  return (state, messages, nowMs) => {
    const { device } = state;
    const draft = draftOf(state);
    const historyFromUs = nowMs * 1000 - rules.historyUs;
    for (const message of messages) {
      switch (message.kind) {
        case "data":
          sawAlive(draft, message, message.arrivalUs);
          applyData(draft, message, historyFromUs, rules);
          break;
        case "hello":
          sawAlive(draft, message, message.arrivalUs);
          draft.hello++;
          break;
        case "state":
          if (message.online) sawAlive(draft, message, message.arrivalUs);
          else heardGone(draft, message);
          draft.noted++;
          break;
        case "event":
          sawAlive(draft, message, message.arrivalUs);
          draft.events = appended(draft.events, [message]);
          break;
        case "ack":
          sawAlive(draft, message, message.arrivalUs);
          draft.acks = appended(draft.acks, [message]);
          break;
        case "bulk":
          sawAlive(draft, message, message.seenUs);
          show(draft, message, message.seenUs, historyFromUs);
          draft.noted++;
          break;
        case "command":
          draft.commands = appended(draft.commands, [message.command]);
          break;
        case "cancel":
          draft.commands = appended(draft.commands, [message.cancel]);
          break;
        case "release":
          draft.quarantinedUntilMs = 0;
          draft.noted++;
          break;
        default:
          message satisfies never;
      }
    }
    return { state: stateOf(state, draft), effects: effectsOf(device, draft) };
  };
}

/**
 * What the broker had kept (a retained message, sent to every new session of the bridge) says nothing of now: a device that
 * died long ago would come online with it, and one that is alive go. Nor does a replay, which says what was.
 */
const isOfNow = ({ source }: Message): boolean =>
  source.headers[HEADER.retained] !== "1" && !isReplay(source);

function sawAlive(draft: Draft, message: Message, atUs: number): void {
  if (!isOfNow(message)) return;
  draft.seenUs = Math.max(draft.seenUs, atUs);
  draft.everSeenUs = Math.max(draft.everSeenUs, atUs);
  if (draft.gone !== null && atUs >= draft.gone.atUs) draft.gone = null;
}

/** A word from before the device was last seen alive is out of date: its last will comes late where its link just broke. */
function heardGone(draft: Draft, message: Message): void {
  const atUs = message.arrivalUs;
  if (isOfNow(message) && atUs >= draft.everSeenUs)
    draft.gone = { atUs, seenUs: draft.everSeenUs };
}

function applyData(
  draft: Draft,
  message: DataMessage,
  historyFromUs: number,
  rules: DeviceRules,
): void {
  draft.data++;
  if (message.untimedId !== null) {
    if (message.redelivered && draft.untimed.includes(message.untimedId)) {
      draft.duplicates++;
      return;
    }
    draft.untimed = [...draft.untimed, message.untimedId].slice(-UNTIMED_KEPT);
    draft.untimedChanged = true;
  }
  const { timeUs, source } = message;
  const isNewest = show(draft, message, message.arrivalUs, historyFromUs);
  if (
    isNewest &&
    message.firmware !== null &&
    message.firmware !== draft.firmware
  ) {
    draft.firmware = message.firmware;
    draft.firmwareChanged = true;
  }
  const rows = message.points.map((point) => ({
    sensor: sensorOf(draft, point),
    timeUs,
    value: point.value,
    text: point.text,
    source,
    item: point.item,
  }));
  draft.rows = appended(draft.rows, rows);
  draft.points += rows.length;
  if (message.conflicts.length + message.refused.length > 0)
    draft.deadLetters = appended(
      draft.deadLetters,
      leftOut(message, rules.tenantPrefix),
    );
}

/**
 * A letter for each point left out, in their order. The first holds the message's bytes, the others their reading alone:
 * 999 copies of a message of 64 KiB or more would be a flood of the device's making.
 */
function leftOut(message: DataMessage, tenantPrefix: string): DeadLetter[] {
  const { conflicts, refused, timeUs } = message;
  const whys: Pick<DeadLetter, "reason" | "detail" | "payload" | "item">[] = [
    ...conflicts.map((point) => ({
      reason: "conflict" as const,
      detail: `points[${point.item}].name: ${JSON.stringify(point.name)} stands earlier in the same message; the first counts`,
      payload: readingBytes(point, timeUs),
      item: point.item,
    })),
    ...refused.map((point) => ({
      reason: "row_refused" as const,
      detail: `points[${point.item}].v: ${JSON.stringify(point.name)}: ${unbearable(point.value!)}`,
      payload: readingBytes(point, timeUs),
      item: point.item,
    })),
  ];
  const [first, ...others] = whys.toSorted((a, b) => a.item - b.item);
  const letter = deadLetterOf(message, tenantPrefix, {
    ...first!,
    attempts: 1,
  });
  return [letter, ...others.map((why) => ({ ...letter, ...why }))];
}

/** What Redis shows of a message: an update, a place in the history, the last state if it is the newest, which is answered. */
function show(
  draft: Draft,
  message: DataMessage | BulkMessage,
  arrivalUs: number,
  historyFromUs: number,
): boolean {
  const { timeUs, source, payload } = message;
  const full = fullMessage(message);
  draft.publish = appended(draft.publish, [full]);
  if (timeUs >= historyFromUs)
    draft.history = appended(draft.history, [
      { score: toSeconds(timeUs), member: full },
    ]);
  const candidate: LastState = {
    orderUs: orderOf(timeUs, arrivalUs),
    offset: source.offset,
    timeUs,
    payload,
  };
  if (!isLater(candidate, draft.last ?? draft.before)) return false;
  draft.last = candidate;
  return true;
}

function sensorOf(draft: Draft, point: Point): Sensor {
  const { name, typeClass, type } = point;
  const known = findSensor(draft.newSensors ?? draft.sensors, typeClass, name);
  // One that was made without a unit takes the first that is said; never another, since what is stored was in that one.
  if (known !== undefined && (known.unit !== null || point.unit === null))
    return known;
  const sensor: Sensor = {
    device: draft.device,
    name,
    typeClass,
    type,
    unit: point.unit,
    id: 0,
  };
  draft.newSensors ??= editableSensors(draft.sensors);
  draft.newSensors = putSensor(draft.newSensors, sensor);
  return sensor;
}

function stateOf(before: DeviceState, draft: Draft): DeviceState {
  return {
    device: before.device,
    sensors:
      draft.newSensors === null ? draft.sensors : compact(draft.newSensors),
    last:
      draft.last === null
        ? before.last
        : { orderUs: draft.last.orderUs, offset: draft.last.offset },
    seenUs: draft.everSeenUs,
    untimed: draft.untimed,
    quarantinedUntilMs: draft.quarantinedUntilMs ?? before.quarantinedUntilMs,
    firmware: draft.firmware,
  };
}
