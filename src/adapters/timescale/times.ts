/** Microseconds since the Unix epoch, out of PostgreSQL without losing one (into it they go as ISO texts, `toIso`). */

/** SQL that answers a timestamptz as microseconds (bigint, which the driver hands over as text). */
export function microsecondsOf(expression: string): string {
  return `(extract(epoch FROM ${expression}) * 1000000)::bigint`;
}
