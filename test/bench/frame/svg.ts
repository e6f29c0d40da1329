/** Plots as SVG text: groups of horizontal bars, readable on light and dark pages. Pure. */

export interface Bar {
  readonly label: string;
  /** Ours and, where there is one, the bare operation's. */
  readonly values: readonly (Spread | null)[];
}
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}
export interface BarPlot {
  readonly title: string;
  readonly unit: string;
  /** One for each value of a bar. */
  readonly series: readonly string[];
  readonly bars: readonly Bar[];
  /** What is wanted, as a line. */
  readonly goal?: number;
  /** Where it was measured. */
  readonly foot: string;
  /** Powers of ten as steps, for values that lie far apart. */
  readonly logarithmic?: boolean;
}

const WIDTH = 760;
const LEFT = 210;
const RIGHT = 110;
const BAR = 15;
const GAP = 14;
const TOP = 64;

/** Colours of both themes stand in the file itself: GitHub shows it as an image, which follows the reader's theme. */
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .foot { font-size: 10px; fill: #59636e }
  .value { font-size: 11px; font-variant-numeric: tabular-nums }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .s0 { fill: #0969da } .s1 { fill: #8c959f } .s2 { fill: #bf8700 } .s3 { fill: #8250df }
  .spread { stroke: #1f2328; stroke-width: 1.5; opacity: .55 }
  .goal { stroke: #1a7f37; stroke-width: 1.5; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .foot { fill: #9198a1 } .grid { stroke: #3d444d }
    .s0 { fill: #4493f8 } .s1 { fill: #6e7681 } .s2 { fill: #d29922 } .s3 { fill: #ab7df8 }
    .spread { stroke: #e6edf3 } .goal { stroke: #3fb950 }
  }`;

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

export const short = (value: number): string =>
  value >= 10_000
    ? `${Math.round(value / 1000).toLocaleString("en")} k`
    : value >= 100
      ? Math.round(value).toLocaleString("en")
      : String(Number(value.toPrecision(3)));

/** Steps of 1, 2 or 5 times a power of ten, at most six of them. */
export function ticksUpTo(most: number): number[] {
  const power = 10 ** Math.floor(Math.log10(most));
  const step =
    [0.1, 0.2, 0.5, 1, 2, 5]
      .map((part) => part * power)
      .find((one) => most / one <= 6) ?? power;
  return Array.from(
    { length: Math.floor(most / step) + 1 },
    (_, n) => n * step,
  );
}

export function barPlot(plot: BarPlot): string {
  const { bars, series, goal, logarithmic = false } = plot;
  const all = bars.flatMap(({ values }) =>
    values.flatMap((value) => (value === null ? [] : [value.low, value.high])),
  );
  const most = Math.max(...all, goal ?? 0);
  const least = logarithmic
    ? 10 ** Math.floor(Math.log10(Math.min(...all)))
    : 0;
  const span = WIDTH - LEFT - RIGHT;
  const at = (value: number): number =>
    Math.round(
      10 *
        (LEFT +
          span *
            (logarithmic
              ? Math.log10(value / least) / Math.log10(most / least)
              : value / most)),
    ) / 10;
  const ticks = logarithmic
    ? Array.from(
        { length: Math.floor(Math.log10(most / least)) + 1 },
        (_, n) => least * 10 ** n,
      )
    : ticksUpTo(most);
  const parts: string[] = [];
  let y = TOP;
  for (const { label, values } of bars) {
    parts.push(
      `<text x="${LEFT - 10}" y="${y + (values.length * BAR) / 2 + 4}" text-anchor="end">${escaped(label)}</text>`,
    );
    for (const [n, value] of values.entries()) {
      const middle = y + BAR / 2;
      if (value !== null) {
        const { median, low, high } = value;
        parts.push(
          `<rect class="s${n}" x="${LEFT}" y="${y + 1}" width="${Math.max(1, at(median) - LEFT)}" height="${BAR - 2}" rx="2"/>`,
        );
        if (high > low)
          parts.push(
            `<path class="spread" d="M${at(low)} ${middle}H${at(high)}M${at(low)} ${middle - 3}v6M${at(high)} ${middle - 3}v6"/>`,
          );
        parts.push(
          `<text class="value" x="${at(Math.max(high, median)) + 6}" y="${middle + 4}">${short(median)}</text>`,
        );
      }
      y += BAR;
    }
    y += GAP;
  }
  const bottom = y;
  const height = bottom + 46;
  const grid = ticks.map(
    (tick) =>
      `<path class="grid" d="M${at(tick)} ${TOP - 6}V${bottom - 4}"/><text class="foot" x="${at(tick)}" y="${bottom + 10}" text-anchor="middle">${short(tick)}</text>`,
  );
  const legend = series.map(
    (name, n) =>
      `<rect class="s${n}" x="${LEFT + n * 150}" y="34" width="11" height="11" rx="2"/><text x="${LEFT + n * 150 + 16}" y="44">${escaped(name)}</text>`,
  );
  const wanted =
    goal === undefined
      ? []
      : [
          `<path class="goal" d="M${at(goal)} ${TOP - 8}V${bottom - 4}"/>`,
          `<text class="foot" x="${at(goal)}" y="${TOP - 11}" text-anchor="middle">goal ${short(goal)}</text>`,
        ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(plot.title)}">`,
    `<style>${STYLE}</style>`,
    `<text class="title" x="12" y="22">${escaped(plot.title)}</text>`,
    ...(series.length > 1 ? legend : []),
    ...grid,
    ...parts,
    ...wanted,
    `<text class="foot" x="${WIDTH - 12}" y="${bottom + 10}" text-anchor="end">${escaped(plot.unit)}</text>`,
    `<text class="foot" x="12" y="${height - 10}">${escaped(plot.foot)}</text>`,
    "</svg>\n",
  ].join("\n");
}
