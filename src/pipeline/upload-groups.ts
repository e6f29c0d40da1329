/** What is handled together, and how much of the worker it takes: small claims that follow one another, a large one alone. */
import { readClaimCheck } from "../domain/claim-check.js";
import { isFault } from "../domain/fault.js";
import type { LogRecord } from "../domain/message.js";
import { isSmall, WHOLE_BYTES } from "./upload-reader.js";

export interface ClaimGroup {
  readonly records: LogRecord[];
  /** Of `UNITS`. */
  units: number;
  /** Uncompressed, as the claim checks say. */
  bytes: number;
}

/** Small claims in work at a time; a large one takes half of it. */
export const UNITS = 100;
const LARGE_UNITS = 50;
/** Bytes, uncompressed, that one unit stands for. */
const UNIT_BYTES = 64 * 1024;
/** Small claims that are handled together, at most. */
const GROUP_UNITS = 50;

export function groupsOf(records: readonly LogRecord[]): ClaimGroup[] {
  const groups: ClaimGroup[] = [];
  let small: ClaimGroup | null = null;
  for (const record of records) {
    const check = readClaimCheck(record.value);
    if (!isFault(check) && !isSmall(check)) {
      const bytes = check.originalSize;
      groups.push({ records: [record], units: LARGE_UNITS, bytes });
      small = null;
      continue;
    }
    const bytes = isFault(check)
      ? 0
      : Math.min(check.originalSize, WHOLE_BYTES);
    const units = Math.max(1, Math.ceil(bytes / UNIT_BYTES));
    if (small === null || small.units + units > GROUP_UNITS) {
      small = { records: [], units: 0, bytes: 0 };
      groups.push(small);
    }
    small.records.push(record);
    small.units += units;
    small.bytes += bytes;
  }
  return groups;
}
