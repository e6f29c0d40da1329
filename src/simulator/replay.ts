/** A real series (CSV: `timestamp`, `value`) as the messages of one device, a row each, in the file's order. Pure. */
import { basename, extname } from "node:path";
import { parseTime, toIso } from "../domain/time.js";
import { TwinstreamError } from "../errors.js";
import type { Planned } from "./fleet.js";
import type { Plan } from "./plan.js";

export interface Row {
  readonly timeUs: number;
  /** A JSON number: the file's own digits, so that nothing is rounded on the way. */
  readonly value: string;
}

export interface Replay {
  /** Name of the point. */
  readonly point: string;
  readonly unit: string | null;
  /** How much faster than it happened; 0: as fast as the broker acknowledges. */
  readonly speed: number;
}

const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const NOT_IN_IDS = /[^A-Za-z0-9._:-]+/g;
const MAX_ID = 128;

/** @throws TwinstreamError BAD_REQUEST that names the line */
export function parseSeries(text: string): Row[] {
  const [header = "", ...lines] = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const columns = fieldsOf(header).map((name) => name.toLowerCase());
  const at = {
    timestamp: columns.indexOf("timestamp"),
    value: columns.indexOf("value"),
  };
  if (at.timestamp < 0 || at.value < 0)
    throw bad(1, `the columns must be timestamp and value, not: ${header}`);
  const rows: Row[] = [];
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const fields = fieldsOf(line);
    const timestamp = fields[at.timestamp] ?? "";
    const value = fields[at.value] ?? "";
    const timeUs = parseTime(timestamp.replace(" ", "T"));
    if (Number.isNaN(timeUs))
      throw bad(index + 2, `${JSON.stringify(timestamp)} is not a time`);
    if (value === "" || !Number.isFinite(Number(value)))
      throw bad(index + 2, `${JSON.stringify(value)} is not a number`);
    rows.push({
      timeUs,
      value: JSON_NUMBER.test(value) ? value : String(Number(value)),
    });
  }
  if (rows.length === 0) throw bad(2, "there are no rows");
  return rows;
}

function fieldsOf(line: string): string[] {
  return line.split(",").map((field) => field.trim().replace(/^"(.*)"$/, "$1"));
}

function bad(line: number, what: string): TwinstreamError {
  return new TwinstreamError("BAD_REQUEST", `line ${line}: ${what}`);
}

/** A device id from a file's name. */
export function deviceOfFile(path: string): string {
  const name = basename(path, extname(path)).replace(NOT_IN_IDS, "-");
  return name.slice(0, MAX_ID) || "replay";
}

export function replayPlan(rows: readonly Row[], replay: Replay): Plan {
  const { speed, point, unit } = replay;
  const firstUs = rows[0]?.timeUs ?? 0;
  const tail = unit === null ? "" : `,"u":${JSON.stringify(unit)}`;
  const name = JSON.stringify(point);
  let at = 0;

  const dueAt = ({ timeUs }: Row) =>
    speed === 0 ? 0 : Math.max(0, (timeUs - firstUs) / speed);

  return {
    dueUs() {
      const row = rows[at];
      return row === undefined ? Infinity : dueAt(row);
    },
    next(): Planned {
      const row = rows[at]!;
      at += 1;
      return {
        device: 0,
        seq: at,
        class: "ok",
        dueUs: dueAt(row),
        timeUs: row.timeUs,
        payload: Buffer.from(
          `{"schema":"v1","ts":"${toIso(row.timeUs)}","points":[{"name":${name},"t":"float","v":${row.value}${tail}}]}`,
        ),
        points: 1,
        reason: null,
      };
    },
  };
}
