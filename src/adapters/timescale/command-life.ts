/**
 * What may become of a command, purely:
 *
 *   accepted → queued → sent → delivered → acked | failed | expired
 *
 * Only forward, but for one step back: the broker found nobody to deliver to (`no_subscriber`), and the command is queued
 * again. Nothing follows acked, failed or expired. A first ack decides; the ack that is kept is the one with the smallest
 * (execUs, hash), marked `late` when the command had already ended, so that replays and batch sizes change nothing.
 */
import type { AckMessage } from "../../domain/message.js";
import { toIso } from "../../domain/time.js";
import type { CommandChange, CommandState } from "../../ports.js";

export interface Transition {
  readonly state: CommandState;
  /** ISO 8601. */
  readonly at: string;
  readonly evidence: string;
}

export interface CommandLife {
  readonly tenant: string;
  readonly deviceId: string;
  state: CommandState;
  ok: boolean | null;
  err: string | null;
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

const ORDER: Readonly<Record<CommandState, number>> = {
  accepted: 0,
  queued: 1,
  sent: 2,
  delivered: 3,
  acked: 4,
  failed: 4,
  expired: 4,
};
const NO_SUBSCRIBER = "no_subscriber";

export function hasEnded(state: CommandState): boolean {
  return ORDER[state] === ORDER.acked;
}

/**
 * Moves the lives by what one flush knows: sendings first, then the devices' answers in log order, then expiry. Answers the
 * ack to keep of each command and device.
 */
export function liveOn(
  lives: ReadonlyMap<string, CommandLife>,
  changes: readonly CommandChange[],
  acks: readonly AckMessage[],
): KeptAck[] {
  for (const change of changes)
    if (change.state !== "expired") applyChange(lives, change);
  const kept = new Map<string, KeptAck>();
  for (const ack of acks) {
    const life = lives.get(ack.cmdId);
    // An ack for another device's command, whoever sent it, is one for a command that does not exist.
    const known =
      life !== undefined &&
      life.tenant === ack.tenant &&
      life.deviceId === ack.deviceId;
    const late = known && !applyAck(life, ack);
    const key = `${ack.address} ${ack.cmdId}`;
    const standing = kept.get(key);
    if (standing === undefined || standsBefore(ack, standing.ack))
      kept.set(key, { ack, late, known });
  }
  for (const change of changes)
    if (change.state === "expired") applyChange(lives, change);
  return [...kept.values()];
}

function applyChange(
  lives: ReadonlyMap<string, CommandLife>,
  change: CommandChange,
): void {
  const life = lives.get(change.cmdId);
  if (life === undefined || hasEnded(life.state)) return;
  const forward = ORDER[change.state] > ORDER[life.state];
  const back =
    change.state === "queued" &&
    change.evidence === NO_SUBSCRIBER &&
    (life.state === "sent" || life.state === "delivered");
  if (forward || back) step(life, change.state, change.atUs, change.evidence);
}

/** False when the command had ended before. */
function applyAck(life: CommandLife, ack: AckMessage): boolean {
  if (hasEnded(life.state)) return false;
  life.ok = ack.ok;
  life.err = ack.err;
  step(life, ack.ok ? "acked" : "failed", ack.arrivalUs, "ack");
  return true;
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
