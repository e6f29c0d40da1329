/** Tables of pages that are written from the kept results, between marks such as `<!-- costs -->` and `<!-- end of costs -->`. */
import { readFileSync, writeFileSync } from "node:fs";

const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

/** In Markdown. */
export const table = (
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string =>
  [row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n");

/** @param contents by the names of their marks */
export function fillPage(
  page: string,
  contents: Readonly<Record<string, string>>,
): void {
  let text = readFileSync(page, "utf8");
  for (const [name, content] of Object.entries(contents)) {
    const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
    const from = text.indexOf(begin);
    const to = text.indexOf(end);
    if (from === -1 || to === -1)
      throw new Error(`${page} has no place for the table of ${name}`);
    text = `${text.slice(0, from + begin.length)}\n\n${content}\n\n${text.slice(to)}`;
  }
  writeFileSync(page, text);
}
