/**
 * Compares the simulator's ledger with what the database holds. A message counts as accepted when one of its attempts was
 * acknowledged; one without an answer may be there once or not at all.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type pg from "pg";
import type { Attempt } from "../../src/simulator/ledger.js";

export interface Comparison {
  readonly sent: number;
  readonly accepted: number;
  /** Messages of the ledger whose readings are all there. */
  readonly stored: number;
  readonly deadLettered: number;
  /** Accepted, and neither stored nor kept as a dead letter. */
  readonly missing: string[];
  /** In the database with another number of readings or another `seq` than was sent. */
  readonly wrong: string[];
  /** In the database, and in no line of the ledger. */
  readonly invented: string[];
  /** Dead letters for which no poison was sent, or with another reason. */
  readonly misjudged: string[];
}

interface Stored {
  readonly points: number;
  readonly seq: number | null;
}

export async function readLedger(path: string): Promise<Attempt[]> {
  const text = await readFile(path, "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Attempt);
}

/** @param devices SQL pattern of the device ids that the run sent for. */
export async function compareLedger(
  attempts: readonly Attempt[],
  database: pg.Client,
  devices: string,
): Promise<Comparison> {
  const stored = await storedMessages(database, devices);
  const letters = await deadLetters(database, devices);
  const byMessage = new Map<string, Attempt[]>();
  for (const attempt of attempts) {
    const id = `${attempt.dev} ${attempt.class === "hello" ? `hello ${attempt.seq}` : attempt.class === "poison" ? attempt.sha256 : attempt.devTs}`;
    const group = byMessage.get(id);
    if (group === undefined) byMessage.set(id, [attempt]);
    else group.push(attempt);
  }
  const result = {
    sent: byMessage.size,
    accepted: 0,
    stored: 0,
    deadLettered: 0,
    missing: [] as string[],
    wrong: [] as string[],
    invented: [] as string[],
    misjudged: [] as string[],
  };
  const known = new Set<string>();
  const poison = new Map<string, string>();
  for (const [id, group] of byMessage) {
    const first = group[0]!;
    const accepted = group.some(({ outcome }) => outcome === "acked");
    if (accepted) result.accepted++;
    if (first.class === "hello") continue;
    if (first.class === "poison") {
      poison.set(first.sha256, first.reason ?? "");
      if (letters.has(first.sha256)) result.deadLettered++;
      else if (accepted) result.missing.push(id);
      continue;
    }
    const key = `${first.dev} ${first.devTs}`;
    known.add(key);
    const found = stored.get(key);
    if (found === undefined) {
      if (accepted) result.missing.push(id);
    } else if (
      found.points !== first.points ||
      (found.seq !== null && !group.some(({ seq }) => seq === found.seq))
    ) {
      result.wrong.push(id);
    } else result.stored++;
  }
  for (const key of stored.keys())
    if (!known.has(key)) result.invented.push(key);
  for (const [sha, reason] of letters)
    if (poison.get(sha) !== reason) result.misjudged.push(`${reason} ${sha}`);
  return result;
}

async function storedMessages(
  database: pg.Client,
  devices: string,
): Promise<Map<string, Stored>> {
  const { rows } = await database.query<{
    key: string;
    points: number;
    seq: number | null;
  }>(
    `SELECT device_id || ' ' || (extract(epoch FROM ts) * 1000000)::bigint AS key, count(*)::int AS points,
            max(v_num) FILTER (WHERE point_id = 'seq') AS seq
     FROM ts_measure WHERE device_id LIKE $1 GROUP BY device_id, ts`,
    [devices],
  );
  return new Map(rows.map(({ key, points, seq }) => [key, { points, seq }]));
}

/** Reasons by the hash of the payload. */
async function deadLetters(
  database: pg.Client,
  devices: string,
): Promise<Map<string, string>> {
  const { rows } = await database.query<{ payload: Buffer; reason: string }>(
    "SELECT payload, reason FROM ingest_errors WHERE device_id LIKE $1 AND item = -1",
    [devices],
  );
  return new Map(
    rows.map(({ payload, reason }) => [
      createHash("sha256").update(payload).digest("hex"),
      reason,
    ]),
  );
}
