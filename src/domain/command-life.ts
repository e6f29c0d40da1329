/**
 * What may become of a command, purely:
 *
 *   accepted → queued → sent → delivered → acked | failed
 *   and from any of the first four → expired | rejected | canceled | superseded
 *
 * Only forward, but for one step back: the broker found nobody to deliver to (`no_subscriber`), and the command is queued
 * again. Nothing follows an end. A first ack decides; the ack that is kept is the one with the smallest (execUs, hash),
 * marked `late` when the command had already ended.
 *
 * A flush applies its evidence in the order in which its lane came by it, so that it does not matter how the log is cut into
 * flushes: sendings (they were known before, and end nothing), then what the log says in its order (requests with the slot
 * they take over, cancellations, acks), then conditions, then expiry, which waits for the log.
 */
import type { StoreChange } from "./device.js";
import type { AckMessage, CancelRequest, CommandRequest } from "./message.js";
import { judgePrecondition, type Precondition } from "./precondition.js";
import { toIso } from "./time.js";

export type CommandState = "accepted" | "queued" | "sent" | "delivered" | End;
type End =
  "acked" | "failed" | "expired" | "rejected" | "canceled" | "superseded";

/** In the order of a life; the ends last. */
export const COMMAND_STATES: readonly CommandState[] = [
  "accepted",
  "queued",
  "sent",
  "delivered",
  "acked",
  "failed",
  "expired",
  "rejected",
  "canceled",
  "superseded",
];

export interface Transition {
  readonly state: CommandState;
  /** ISO 8601. */
  readonly at: string;
  readonly evidence: string;
}

/** Evidence that changes a command's state and comes from no record of the log. */
export interface CommandChange {
  readonly cmdId: string;
  readonly state: "queued" | "sent" | "delivered" | "expired";
  readonly atUs: number;
  readonly evidence: string;
}

/** A command that is about to be sent if its condition holds. */
export interface ToJudge {
  readonly cmdId: string;
  readonly atUs: number;
}

export interface CommandLife {
  readonly tenant: string;
  readonly deviceId: string;
  /** Of the commands of one slot only the latest is to be executed; null when it takes none. */
  readonly slot: string | null;
  readonly precondition: Precondition | null;
  state: CommandState;
  ok: boolean | null;
  err: string | null;
  /** Its condition held when it was last looked at, and no broker has said since that it reached nobody. */
  judged: boolean;
  /** Stored by this flush, and its request is still to come among the evidence. */
  awaited: boolean;
  /** What this flush adds to its history. */
  readonly added: Transition[];
}

export interface KeptAck {
  readonly ack: AckMessage;
  /** The command had ended before. */
  readonly late: boolean;
  /** The device has such a command. */
  readonly known: boolean;
}

/** All that one flush knows. */
export interface LifeEvidence {
  readonly sendings: readonly CommandChange[];
  readonly changes: readonly Pick<StoreChange, "commands" | "acks">[];
  readonly toJudge: readonly ToJudge[];
  /** Newest stored values of the life's device as a v1 message's JSON; null when there are none. */
  readonly newest: (life: CommandLife) => string | null;
}

const ORDER: Readonly<Record<CommandState, number>> = {
  accepted: 0,
  queued: 1,
  sent: 2,
  delivered: 3,
  acked: 4,
  failed: 4,
  expired: 4,
  rejected: 4,
  canceled: 4,
  superseded: 4,
};
export const NO_SUBSCRIBER = "no_subscriber";

export function hasEnded(state: CommandState): boolean {
  return ORDER[state] === ORDER.acked;
}

export const isCancel = (
  order: CommandRequest | CancelRequest,
): order is CancelRequest => "cancels" in order;

type Lives = ReadonlyMap<string, CommandLife>;

/** Moves the lives; answers the ack to keep of each command and device, and the commands whose condition was found to hold. */
export function liveOn(
  lives: Lives,
  { sendings, changes, toJudge, newest }: LifeEvidence,
): { acks: KeptAck[]; judged: string[] } {
  for (const change of sendings)
    if (change.state !== "expired") applySending(lives, change);
  const kept = new Map<string, KeptAck>();
  for (const { commands, acks } of changes) {
    for (const order of commands)
      if (isCancel(order)) applyCancel(lives, order);
      else applyRequest(lives, order);
    for (const ack of acks) keep(kept, ack, applyAck(lives, ack));
  }
  const judged = toJudge.filter((one) => applyJudgement(lives, one, newest));
  for (const change of sendings)
    if (change.state === "expired") applySending(lives, change);
  return {
    acks: [...kept.values()],
    judged: judged
      .map(({ cmdId }) => cmdId)
      .filter((cmdId) => !hasEnded(lives.get(cmdId)!.state)),
  };
}

function applySending(lives: Lives, change: CommandChange): void {
  const life = lives.get(change.cmdId);
  if (life === undefined || hasEnded(life.state)) return;
  const forward = ORDER[change.state] > ORDER[life.state];
  const back =
    change.state === "queued" &&
    change.evidence === NO_SUBSCRIBER &&
    wasSent(life);
  if (!forward && !back) return;
  step(life, change.state, change.atUs, change.evidence);
  // It reached nobody: by the time it does, the device's state may be another.
  if (back) life.judged = false;
}

/** Ends the older commands of its slot, whether or not they were sent: the device may have executed one, its ack is late then. */
function applyRequest(lives: Lives, request: CommandRequest): void {
  const life = lives.get(request.cmdId);
  if (life === undefined || !life.awaited) return;
  life.awaited = false;
  if (life.slot === null) return;
  for (const older of lives.values())
    if (
      older !== life &&
      !older.awaited &&
      older.slot === life.slot &&
      older.tenant === life.tenant &&
      older.deviceId === life.deviceId
    )
      end(older, "superseded", request.createdUs, `by ${request.cmdId}`);
}

function applyCancel(lives: Lives, cancel: CancelRequest): void {
  const life = lives.get(cancel.cancels);
  if (
    life !== undefined &&
    !life.awaited &&
    life.tenant === cancel.tenant &&
    life.deviceId === cancel.deviceId
  )
    end(life, "canceled", cancel.askedUs, `by ${cancel.by || "nobody named"}`);
}

function applyAck(lives: Lives, ack: AckMessage): Omit<KeptAck, "ack"> {
  const life = lives.get(ack.cmdId);
  // An ack for another device's command, whoever sent it, is one for a command that does not exist.
  if (
    life === undefined ||
    life.awaited ||
    life.tenant !== ack.tenant ||
    life.deviceId !== ack.deviceId
  )
    return { known: false, late: false };
  if (hasEnded(life.state)) return { known: true, late: true };
  life.ok = ack.ok;
  life.err = ack.err;
  step(life, ack.ok ? "acked" : "failed", ack.arrivalUs, "ack");
  return { known: true, late: false };
}

function keep(
  kept: Map<string, KeptAck>,
  ack: AckMessage,
  found: Omit<KeptAck, "ack">,
): void {
  const key = `${ack.address} ${ack.cmdId}`;
  const standing = kept.get(key);
  if (standing === undefined || standsBefore(ack, standing.ack))
    kept.set(key, { ack, ...found });
}

/** Whether it may be sent. */
function applyJudgement(
  lives: Lives,
  { cmdId, atUs }: ToJudge,
  newest: LifeEvidence["newest"],
): boolean {
  const life = lives.get(cmdId);
  if (life === undefined || hasEnded(life.state)) return false;
  if (life.precondition === null) return true;
  const { holds, evidence } = judgePrecondition(
    life.precondition,
    newest(life),
  );
  if (holds) {
    life.judged = true;
    step(life, "queued", atUs, evidence);
  } else step(life, "rejected", atUs, evidence);
  return holds;
}

const wasSent = ({ state }: CommandLife): boolean =>
  state === "sent" || state === "delivered";

/** Unless it has ended. */
function end(
  life: CommandLife,
  state: End,
  atUs: number,
  evidence: string,
): void {
  if (hasEnded(life.state)) return;
  const more = wasSent(life) ? "; it had been sent and may be executed" : "";
  step(life, state, atUs, evidence + more);
}

function step(
  life: CommandLife,
  state: CommandState,
  atUs: number,
  evidence: string,
): void {
  life.state = state;
  life.added.push({ state, at: toIso(atUs), evidence });
}

/** Of two acks for one command, whether the first stands. */
export function standsBefore(
  a: Pick<AckMessage, "execUs" | "hash">,
  b: Pick<AckMessage, "execUs" | "hash">,
): boolean {
  return a.execUs !== b.execUs ? a.execUs < b.execUs : a.hash < b.hash;
}
