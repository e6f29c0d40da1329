/**
 * The check of the log against the database: a range of offsets is decoded again, and for every record that counts as stored
 * its rows (values included), events, acks, commands or dead letters are looked for. Batch by batch, so that the memory it
 * takes does not depend on the range.
 */
import { isDeadLetter } from "../domain/decode.js";
import type { DeadLetter, Message } from "../domain/message.js";
import type { LedgerStanding, LedgerStore, LogInspector } from "../ports.js";
import { type Decoded, lookUp, pointsOf } from "./ledger-lookup.js";
import type { OffsetRange } from "./ledger-plan.js";
import type { Difference, Tally } from "./ledger-tally.js";
import { createVerdict, type Found } from "./ledger-verdict.js";
import type { Decode } from "./prepare.js";

export interface LedgerDeps {
  readonly log: Pick<LogInspector, "read">;
  readonly store: LedgerStore;
  readonly clusterId: string;
  readonly standing: LedgerStanding;
  readonly decode: (topic: string) => Decode;
  /** As other adapters read payloads that name none: a device may have been registered with another when it was stored. */
  readonly otherwise: readonly Decode[];
  /** Added to as the check goes on. */
  readonly tally: Tally;
  readonly differ: (difference: Difference) => void;
  /** Called after each batch: records checked with it. */
  readonly progress: (range: OffsetRange, records: number) => void;
}

/** Readings and records that are looked up together, about. */
const BATCH_READINGS = 10_000;
const BATCH_RECORDS = 5_000;

/** @throws what log and store throw, and the signal's reason */
export async function checkRange(
  range: OffsetRange,
  deps: LedgerDeps,
  signal: AbortSignal,
): Promise<void> {
  const { log, standing, tally, differ } = deps;
  const decode = deps.decode(range.topic);
  const judge = createVerdict({
    rowsFromUs: standing.rowsFromMs * 1000,
    lettersFromMs: standing.lettersFromMs,
    tally,
    differ,
  });
  async function check(batch: Decoded[]): Promise<void> {
    const found = await lookUp(batch, range, deps);
    for (const other of deps.otherwise)
      await lookAgain(batch, found, other, range, deps);
    for (const [i, { record, outcome }] of batch.entries())
      judge(record, outcome, found[i]!);
    deps.progress(range, batch.length);
  }

  await log.read(
    range,
    async (records) => {
      let batch: Decoded[] = [];
      let readings = 0;
      for (const record of records) {
        const outcome = decode(record);
        batch.push({ record, outcome });
        readings += pointsOf(outcome).length;
        if (readings >= BATCH_READINGS || batch.length >= BATCH_RECORDS) {
          await check(batch);
          signal.throwIfAborted();
          batch = [];
          readings = 0;
        }
      }
      if (batch.length > 0) await check(batch);
    },
    signal,
  );
}

/** Records that have left no trace, as another adapter reads them: where all of its readings are there, that is what was stored. */
async function lookAgain(
  batch: Decoded[],
  found: Found[],
  decode: Decode,
  range: OffsetRange,
  deps: LedgerDeps,
): Promise<void> {
  const places: number[] = [];
  const again: Decoded[] = [];
  for (const [i, { record, outcome }] of batch.entries()) {
    if (!isTraceless(outcome, found[i]!)) continue;
    const other = decode(record);
    if (pointsOf(other).length === 0 || isSameReading(outcome, other)) continue;
    places.push(i);
    again.push({ record, outcome: other });
  }
  if (again.length === 0) return;
  for (const [i, it] of (await lookUp(again, range, deps)).entries()) {
    if (it.readings.includes(null)) continue;
    batch[places[i]!] = again[i]!;
    found[places[i]!] = it;
  }
}

function isTraceless(
  outcome: Message | DeadLetter,
  { whole, items, readings }: Found,
): boolean {
  if (whole !== null || items.size > 0) return false;
  if (isDeadLetter(outcome)) return true;
  return outcome.kind === "data" && readings.every((one) => one === null);
}

const isSameReading = (
  one: Message | DeadLetter,
  other: Message | DeadLetter,
): boolean =>
  "adapter" in one && "adapter" in other && one.adapter === other.adapter;
