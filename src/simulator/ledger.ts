/**
 * The sender's own account of what it sent: the oracle that every check of the system is held against. One JSON line for
 * each attempt, written once the attempt has ended: with its PUBACK, or when its connection or the run did.
 */
import { hash } from "node:crypto";
import { open } from "node:fs/promises";
import type { MessageClass, Planned } from "./fleet.js";

/**
 * `acked`: the broker has it. `refused`: it has not. `unknown`: no answer came, so it may have it once or not at all (QoS 0
 * is always that). A message that was sent again has a line for each attempt; it counts as acked when one of them is.
 */
export type Outcome = "acked" | "refused" | "unknown";

/** One line. */
export interface Attempt {
  /** Device address. */
  readonly dev: string;
  readonly boot: number;
  readonly seq: number;
  /** Device time, microseconds since the Unix epoch. */
  readonly devTs: number;
  readonly class: MessageClass;
  /** Readings in it. */
  readonly points: number;
  /** Of the payload's bytes, hex. */
  readonly sha256: string;
  /** Dead-letter reason that must come of it; only for poison. */
  readonly reason?: string;
  /** From 1; the same payload with the DUP flag from 2 on. */
  readonly attempt: number;
  readonly outcome: Outcome;
  /** The PUBACK's reason when it was not 0 (16: nobody was subscribed). */
  readonly code?: number;
  /** Unix milliseconds with a fraction, the simulator's clock. */
  readonly tSend: number;
  readonly tPuback: number | null;
}

/** The line of an upload's try. The same key may have several; it counts as acked when one of them is, and is one claim. */
export interface UploadAttempt {
  readonly class: "upload";
  /** Its idempotency key. */
  readonly key: string;
  /** Of a 202. */
  readonly claim: string | null;
  readonly readings: number;
  /** Of the bytes before they were gzipped, hex. */
  readonly sha256: string;
  readonly outcome: Outcome;
  /** Of HTTP; null without an answer. */
  readonly status: number | null;
  /** Unix milliseconds. */
  readonly tSend: number;
  readonly tAnswer: number | null;
}

export const uploadLine = (attempt: UploadAttempt): string =>
  `${JSON.stringify(attempt)}\n`;

export interface Ending {
  readonly outcome: Outcome;
  readonly code: number;
  readonly tPuback: number | null;
}

export function ledgerLine(
  planned: Planned,
  run: { readonly dev: string; readonly boot: number },
  attempt: { readonly attempt: number; readonly sentMs: number },
  ending: Ending,
): string {
  const line: Attempt = {
    dev: run.dev,
    boot: run.boot,
    seq: planned.seq,
    devTs: planned.timeUs,
    class: planned.class,
    points: planned.points,
    sha256: hash("sha256", planned.payload),
    ...(planned.reason === null ? {} : { reason: planned.reason }),
    attempt: attempt.attempt,
    outcome: ending.outcome,
    ...(ending.code === 0 ? {} : { code: ending.code }),
    tSend: attempt.sentMs,
    tPuback: ending.tPuback,
  };
  return `${JSON.stringify(line)}\n`;
}

export interface Ledger {
  write(line: string): void;
  /** Whether the disk is so far behind that the load has to wait for it. */
  full(): boolean;
  /** Why it can no longer be written; null while it can. */
  failure(): Error | null;
  /** Writes what is left. @throws what made it unwritable */
  close(): Promise<void>;
}

const CHUNK = 65_536;
const FULL = 67_108_864;
/** A reader beside the run sees lines this late at most. */
const FLUSH_MS = 200;

/** Starts a new file, or empties the one that is there. @throws the file system's error */
export async function openLedger(path: string): Promise<Ledger> {
  const file = await open(path, "w");
  let lines: string[] = [];
  let waiting = 0;
  let writing: Promise<void> | null = null;
  let failed: Error | null = null;
  const timer = setInterval(flush, FLUSH_MS);

  /** One write at a time; what comes meanwhile goes with the next. */
  function flush(): void {
    if (writing !== null || lines.length === 0 || failed !== null) return;
    const bytes = Buffer.from(lines.join(""));
    const length = waiting;
    lines = [];
    writing = file
      .writeFile(bytes)
      .catch((error: Error) => {
        failed = error;
      })
      .then(() => {
        writing = null;
        waiting -= length;
        if (waiting >= CHUNK) flush();
      });
  }

  return {
    write(line) {
      if (failed !== null) return;
      lines.push(line);
      waiting += line.length;
      if (waiting >= CHUNK) flush();
    },
    full: () => waiting >= FULL,
    failure: () => failed,
    async close() {
      clearInterval(timer);
      while (failed === null && (writing !== null || lines.length > 0)) {
        flush();
        await writing;
      }
      await file.close();
      if (failed !== null) throw failed;
    },
  };
}
