/** Times in queries. */
import { parseTime } from "../domain/time.js";
import { refusal } from "./problems.js";

/** The years 1900 to 9999: every reading lies between, and PostgreSQL reads what is. */
export const EARLIEST_US = Date.UTC(1900, 0, 1) * 1000;
export const LATEST_US = Date.UTC(9999, 11, 31) * 1000;

/**
 * A time of the query in microseconds, brought into the years 1900 to 9999; null when not given.
 * @throws BAD_REQUEST
 */
export function momentOf(
  name: string,
  text: string | undefined,
): number | null {
  if (text === undefined) return null;
  const us = parseTime(/^\d+(\.\d+)?$/.test(text) ? Number(text) : text);
  if (!Number.isNaN(us)) return Math.min(Math.max(us, EARLIEST_US), LATEST_US);
  throw refusal("BAD_REQUEST", `\`${name}\` is no time`, [
    {
      path: `query.${name}`,
      reason: "must be ISO 8601, Unix seconds or milliseconds",
    },
  ]);
}
