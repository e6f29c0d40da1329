/** What a history request asks, read from its query; and the cursor, which keeps what its first page was asked. */
import { createHash } from "node:crypto";
import { EARLIEST_US, LATEST_US, momentOf } from "../moment.js";
import { refusal } from "../problems.js";
import type { Level } from "./resolution.js";

export interface HistoryQuery {
  readonly from?: string;
  readonly to?: string;
  readonly sensor?: string | readonly string[];
  readonly resolution?: Level | "auto";
  readonly cursor?: string;
}

export interface HistoryQuestion {
  readonly fromUs: number;
  readonly toUs: number;
  /** Null for all. */
  readonly names: readonly string[] | null;
  readonly resolution: Level | "auto";
  /** Rows behind this one; null on the first page. */
  readonly after: Place | null;
  /** By which a cursor of another question is known. */
  readonly mark: string;
}

export interface Place {
  readonly sensorId: number;
  readonly timeUs: number;
}

const DAY_US = 86_400_000_000;
/** Sensor ids are PostgreSQL integers. */
const MOST_ID = 2_147_483_647;
const LEVELS: Readonly<Record<string, Level>> = {
  r: "raw",
  h: "hour",
  d: "day",
};

/** @throws BAD_REQUEST with the fields that are wrong */
export function readQuestion(
  device: string,
  query: HistoryQuery,
  nowUs: number,
): HistoryQuestion {
  const sensor = query.sensor ?? [];
  const names = typeof sensor === "string" ? [sensor] : [...new Set(sensor)];
  const asked = {
    names: names.length === 0 ? null : names,
    mark: markOf([device, names, query.from, query.to, query.resolution]),
  };
  if (query.cursor !== undefined)
    return { ...asked, ...readCursor(query.cursor, asked.mark) };
  const toUs = momentOf("to", query.to) ?? nowUs;
  const fromUs = momentOf("from", query.from) ?? toUs - DAY_US;
  if (fromUs >= toUs)
    throw refusal("BAD_REQUEST", "`from` does not lie before `to`", [
      { path: "query.from", reason: "must lie before `to`" },
    ]);
  return {
    ...asked,
    fromUs,
    toUs,
    resolution: query.resolution ?? "auto",
    after: null,
  };
}

export function writeCursor(
  question: HistoryQuestion,
  level: Level,
  { sensorId, timeUs }: Place,
): string {
  const { mark, fromUs, toUs } = question;
  const parts = [mark, level[0], fromUs, toUs, sensorId, timeUs];
  return Buffer.from(parts.join(" ")).toString("base64url");
}

function readCursor(
  text: string,
  mark: string,
): Pick<HistoryQuestion, "fromUs" | "toUs" | "resolution" | "after"> {
  const match =
    /^(\S{8}) ([rhd]) (-?\d{1,18}) (-?\d{1,18}) (\d{1,10}) (-?\d{1,18})$/.exec(
      Buffer.from(text, "base64url").toString(),
    );
  const [fromUs, toUs, sensorId, timeUs] = (match ?? []).slice(3).map(Number);
  const times = [fromUs, toUs, timeUs];
  if (
    match === null ||
    sensorId! > MOST_ID ||
    times.some((us) => us === undefined || us < EARLIEST_US || us > LATEST_US)
  )
    throw badCursor("must be `next` of the page before");
  if (match[1] !== mark)
    throw badCursor(
      "belongs to another question: ask for the next page with the same device, from, to, sensor and resolution",
    );
  return {
    fromUs: fromUs!,
    toUs: toUs!,
    resolution: LEVELS[match[2]!]!,
    after: { sensorId: sensorId!, timeUs: timeUs! },
  };
}

const badCursor = (reason: string) =>
  refusal("BAD_REQUEST", `the cursor ${reason}`, [
    { path: "query.cursor", reason },
  ]);

const markOf = (question: readonly unknown[]): string =>
  createHash("sha256")
    .update(JSON.stringify(question))
    .digest("base64url")
    .slice(0, 8);
