/** Rows as a terminal shows them. */

/** One line a row, each column as wide as its widest cell. A row that has fewer cells than the first makes none wider. */
export function tableLines(rows: readonly (readonly string[])[]): string[] {
  const columns = rows[0]?.length ?? 0;
  const whole = rows.filter((row) => row.length === columns);
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...whole.map((row) => row[i]!.length)),
  );
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join("  ")
      .trimEnd(),
  );
}

/** @param rows the first is the head, where there is one */
export const table = (rows: readonly (readonly string[])[]): string =>
  tableLines(rows).join("\n");
