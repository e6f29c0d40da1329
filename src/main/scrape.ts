/** Prometheus' text format, as far as ours uses it, and what two scrapes say of the time between them. Pure. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export type Scrape = readonly Sample[];

export function readScrape(text: string): Scrape {
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    const match = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (match === null) continue;
    const labels: Record<string, string> = {};
    for (const [, label, value] of (match[2] ?? "").matchAll(
      /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g,
    ))
      labels[label!] = value!;
    samples.push({ name: match[1]!, labels, value: Number(match[3]) });
  }
  return samples;
}

/** Of all label sets that have these values. */
export const sumOf = (
  scrape: Scrape,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number =>
  scrape
    .filter((sample) => sample.name === name && has(sample, labels))
    .reduce((sum, { value }) => sum + value, 0);

const has = (
  sample: Sample,
  labels: Readonly<Record<string, string>>,
): boolean =>
  Object.entries(labels).every(
    ([label, value]) => sample.labels[label] === value,
  );

/** How much a counter rose; one that began anew with its process has risen by what it shows. */
export function riseOf(
  before: Scrape,
  after: Scrape,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  const then = sumOf(before, name, labels);
  const now = sumOf(after, name, labels);
  return now >= then ? now - then : now;
}

/**
 * A quantile of what a histogram counted between two scrapes: the upper bound of the bucket that it lies in, seconds.
 * Null when nothing was counted; infinite beyond the last bound.
 */
export function quantileOf(
  before: Scrape,
  after: Scrape,
  name: string,
  quantile: number,
  labels: Readonly<Record<string, string>> = {},
): number | null {
  const bounds = [
    ...new Set(
      after
        .filter((one) => one.name === `${name}_bucket` && has(one, labels))
        .map((one) => one.labels["le"]!),
    ),
  ].toSorted((a, b) => boundOf(a) - boundOf(b));
  const counted = bounds.map((le) =>
    riseOf(before, after, `${name}_bucket`, { ...labels, le }),
  );
  const all = counted.at(-1) ?? 0;
  if (all === 0) return null;
  const at = counted.findIndex((count) => count >= all * quantile);
  return boundOf(bounds[at]!);
}

const boundOf = (le: string): number =>
  le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le);
