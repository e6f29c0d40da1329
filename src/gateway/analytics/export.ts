/**
 * A history of any length into a stream: the database's cursor is asked for its next rows only when the client has taken those
 * before, so that neither the rows nor their text are ever held whole.
 */
import { once } from "node:events";
import type { Writable } from "node:stream";
import { bucketLines, headerLine, readingLines } from "./csv.js";
import { askedOf, FIRST_US, recentFor } from "./page.js";
import type { HistoryQuestion } from "./question.js";
import { type AnalyticsDeps, readScope, type Scope } from "./scope.js";
import { createSeam } from "./seam.js";

/** Resolves once everything is in the stream, which it does not end. Rejects when the stream is closed before. */
export async function exportCsv(
  deps: AnalyticsDeps,
  question: HistoryQuestion,
  first: Scope,
  out: Writable,
): Promise<void> {
  const closed = new AbortController();
  out.once("close", () => closed.abort());
  const write = async (text: string): Promise<void> => {
    closed.signal.throwIfAborted();
    if (text !== "" && !out.write(text))
      await once(out, "drain", { signal: closed.signal });
  };
  await write(headerLine(first.level));
  let asked = question;
  let scope = first;
  for (;;) {
    await exportScope(deps, asked, scope, write);
    if (scope.nextSensorId === null) return;
    const after = { sensorId: scope.nextSensorId, timeUs: FIRST_US };
    asked = { ...question, resolution: first.level, after };
    scope = await readScope(deps, first.tenant, first.deviceId, asked);
  }
}

async function exportScope(
  deps: AnalyticsDeps,
  question: HistoryQuestion,
  scope: Scope,
  write: (text: string) => Promise<void>,
): Promise<void> {
  const { level } = scope;
  const asked = askedOf(question, scope);
  if (level !== "raw")
    return deps.analytics.streamBuckets(asked, level, (buckets) =>
      write(bucketLines(scope, buckets, deps.clock() * 1000)),
    );
  const recent = await recentFor(deps, question, scope);
  const seam = createSeam(asked.sensorIds, recent);
  await deps.analytics.streamReadings(asked, (readings) =>
    write(readingLines(scope, seam.take(readings))),
  );
  await write(readingLines(scope, seam.rest()));
}
