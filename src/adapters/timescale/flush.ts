/**
 * One flush, one transaction:
 *
 *   fence → rows (behind a savepoint, rows.ts) → commands and acks, events, devices, dead letters → the caller's dead
 *   letters on the log (beforeCommit) → COMMIT
 *
 * Rows come first, so that nothing has to be written twice when they must go another way than the straight COPY. Whatever
 * throws ends the connection, and with it the transaction; the same flush may then be tried again, and when its COMMIT had
 * taken effect after all the fence says "already".
 */
import type { Row } from "../../domain/device.js";
import type { Flush, FlushResult, RefusedRow } from "../../ports.js";
import { storeCommands } from "./commands.js";
import type { Database, Session } from "./connect.js";
import {
  letterOfConflict,
  letterOfRefused,
  settleReplays,
  storeDeadLetters,
} from "./dead-letters.js";
import { storeDevices } from "./equipment-changes.js";
import { storeEvents } from "./events.js";
import type { Facts } from "./facts.js";
import { moveFence, whyNotMoved } from "./fence.js";
import { noteLateRows } from "./late-rows.js";
import type { RowWriter } from "./rows.js";

export interface FlushTools {
  readonly database: Database;
  readonly facts: Facts;
  readonly storeRows: RowWriter["storeRows"];
  /** Makes the partitions that these rows need, where the engine does not. */
  readonly ensurePartitions: (rows: readonly Row[]) => Promise<void>;
}

export async function flush(
  tools: FlushTools,
  batch: Flush,
  beforeCommit: (refused: readonly RefusedRow[]) => Promise<void>,
): Promise<FlushResult> {
  const rows = rowsOf(batch);
  await tools.ensurePartitions(rows);
  return tools.database.use("flush", async (session) => {
    await session.run("BEGIN");
    if (!(await moveFence(session, batch))) {
      await session.run("ROLLBACK");
      await session.run("BEGIN");
      const fence = await whyNotMoved(session, batch);
      await session.run("COMMIT");
      return { fence };
    }
    const result = await store(session, tools, batch, rows, beforeCommit);
    await during(batch, "commit", () => session.run("COMMIT"));
    return result;
  });
}

async function store(
  session: Session,
  { facts, storeRows }: FlushTools,
  batch: Flush,
  rows: readonly Row[],
  beforeCommit: (refused: readonly RefusedRow[]) => Promise<void>,
): Promise<FlushResult> {
  const stored = await during(batch, "copy", () =>
    storeRows(session, rows, batch.expectDuplicates),
  );
  await noteLateRows(session, facts, rows);
  const { queued, judged, ended } = await storeCommands(session, batch);
  await storeEvents(session, batch.changes);
  await storeDevices(session, batch);
  const letters = [
    ...batch.deadLetters,
    ...batch.changes.flatMap((change) => change.deadLetters),
    ...stored.conflicts.map(letterOfConflict),
    ...stored.refused.map(letterOfRefused),
  ];
  await settleReplays(session, batch.replays, letters, batch.clusterId);
  await storeDeadLetters(session, letters, batch.clusterId);
  await beforeCommit(stored.refused);
  const { duplicates, conflicts, refused } = stored;
  return {
    fence: "moved",
    stored: stored.stored,
    duplicates,
    conflicts: conflicts.length,
    refused: refused.length,
    queued,
    judged,
    ended,
    sawDuplicates: duplicates + conflicts.length > 0,
  };
}

async function during<T>(
  { step }: Flush,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const end = step?.(name);
  try {
    const answer = await work();
    end?.();
    return answer;
  } catch (error) {
    end?.(error);
    throw error;
  }
}

function rowsOf({ changes }: Flush): Row[] {
  const rows: Row[] = [];
  for (const change of changes)
    for (const row of change.rows) {
      if (row.sensor.id === 0)
        throw new Error(
          `sensor ${row.sensor.name} of ${row.sensor.device.address} was not registered before its flush`,
        );
      rows.push(row);
    }
  return rows;
}
