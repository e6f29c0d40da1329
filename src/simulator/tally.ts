/** What a run has come to: counted as it goes, and summed up at its end. */
import type { MessageClass, Planned } from "./fleet.js";
import { countLatencies } from "./latency.js";
import type { Ending } from "./ledger.js";

/** Counts are messages (each counted once however often it was sent) unless they say otherwise. */
export interface Summary {
  /** `completed`: all of the plan was sent. `stopped`: a signal or the duration ended it. */
  readonly ended: "completed" | "stopped";
  readonly devices: number;
  readonly connections: number;
  readonly qos: 0 | 1;
  readonly seed: number;
  /** Unix milliseconds; also `boot` in every message. */
  readonly start: number;
  /** First message to last answer. */
  readonly seconds: number;
  readonly sent: number;
  readonly attempts: number;
  /** sent = acked + refused + unknown. */
  readonly acked: number;
  readonly refused: number;
  readonly unknown: number;
  /** Of those acked, how many the broker had no subscriber for: they went nowhere. */
  readonly noSubscriber: number;
  /** Readings in the messages acked. */
  readonly pointsAcked: number;
  readonly sentByClass: Readonly<Record<MessageClass, number>>;
  /** Acked a second. */
  readonly rate: number;
  /** The latest attempt → its PUBACK, milliseconds; null when there was none. */
  readonly latencyMs: {
    readonly p50: number | null;
    readonly p99: number | null;
    readonly max: number | null;
  };
  readonly connectionsLost: number;
  /** How far sending fell behind the asked rate at most, milliseconds; 0 where the rate is free. */
  readonly behindMs: number;
  readonly commands: {
    readonly executed: number;
    /** Delivered again, acknowledged again, not executed again. */
    readonly repeated: number;
    readonly unreadable: number;
    readonly acksAcked: number;
  };
}

/** What is known while it runs. */
export interface Progress {
  readonly seconds: number;
  readonly sent: number;
  readonly acked: number;
  readonly refused: number;
  readonly waiting: number;
  readonly connected: number;
  readonly connections: number;
}

const NO_SUBSCRIBER = 0x10;

export function startTally() {
  const latencies = countLatencies();
  const sentByClass: Record<MessageClass, number> = {
    ok: 0,
    dup: 0,
    late: 0,
    poison: 0,
    hello: 0,
  };
  const commands = { executed: 0, repeated: 0, unreadable: 0, acksAcked: 0 };
  const count = {
    sent: 0,
    attempts: 0,
    acked: 0,
    refused: 0,
    unknown: 0,
    noSubscriber: 0,
    pointsAcked: 0,
    connectionsLost: 0,
    behindMs: 0,
  };
  let lastMs = 0;

  return {
    count,
    commands,
    sent(planned: Planned, behindMs: number): void {
      count.sent += 1;
      sentByClass[planned.class] += 1;
      if (behindMs > count.behindMs) count.behindMs = behindMs;
    },
    /** A message's end; attempts that another one followed are counted elsewhere. */
    settled(
      planned: Planned,
      attempt: { attempt: number; sentMs: number },
      { outcome, code, tPuback }: Ending,
    ): void {
      count[outcome] += 1;
      count.attempts += attempt.attempt;
      lastMs = tPuback ?? attempt.sentMs;
      if (outcome !== "acked") return;
      count.pointsAcked += planned.points;
      if (code === NO_SUBSCRIBER) count.noSubscriber += 1;
      if (tPuback !== null) latencies.add(tPuback - attempt.sentMs);
    },
    summary(
      run: Pick<
        Summary,
        "ended" | "devices" | "connections" | "qos" | "seed" | "start"
      >,
      beganMs: number,
    ): Summary {
      const seconds = Math.max(0, lastMs - beganMs) / 1000;
      return {
        ...run,
        ...count,
        seconds: rounded(seconds),
        behindMs: rounded(count.behindMs),
        sentByClass,
        rate: seconds > 0 ? Math.round(count.acked / seconds) : 0,
        latencyMs: {
          p50: rounded(latencies.percentile(0.5)),
          p99: rounded(latencies.percentile(0.99)),
          max: rounded(latencies.max()),
        },
        commands,
      };
    },
  };
}

/** To a thousandth: milliseconds to the microsecond, seconds to the millisecond. */
function rounded(value: number): number;
function rounded(value: number | null): number | null;
function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value * 1000) / 1000;
}
