/** The plots of the README, from the kept results. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchResult } from "./bench.js";
import type { Judged } from "./measured.js";
import { type Bar, barPlot, type BarPlot } from "./svg.js";

type Plotted = Omit<BarPlot, "foot" | "bars"> & {
  readonly file: string;
  /** Results by their question. */
  readonly from: readonly string[];
  readonly bars: (figures: readonly Judged[]) => readonly Bar[];
};

const barOf = ({ of, ours, theirs }: Judged, label = of): Bar => ({
  label,
  values: [ours, theirs],
});
const withWhat = (what: string) => (figures: readonly Judged[]) =>
  figures.filter((one) => one.what === what).map((one) => barOf(one));

const PLOTS: readonly Plotted[] = [
  {
    file: "drain",
    from: ["drain", "drain-devices"],
    title: "Working off a backlog",
    unit: "messages/s",
    series: ["twinstream", "bare pipeline"],
    bars: withWhat("messages/s"),
  },
  {
    file: "cost",
    from: ["drain", "drain-devices"],
    title: "CPU of the processor for a message",
    unit: "µs a message",
    series: ["twinstream", "bare pipeline"],
    bars: withWhat("µs of CPU a message, process"),
  },
  {
    file: "latency-redis",
    from: ["latency"],
    title: "From publish to a subscriber in Redis",
    unit: "ms, powers of ten",
    series: ["twinstream", "bare pipeline"],
    logarithmic: true,
    bars: (figures) =>
      figures
        .filter(({ what }) => what.includes("Redis"))
        .map((one) => barOf(one, `${one.of}, ${one.what.split(", ").at(-1)}`)),
  },
  {
    file: "latency-sql",
    from: ["latency"],
    title: "From publish to a row visible in SQL",
    unit: "ms, powers of ten",
    series: ["twinstream", "bare pipeline"],
    logarithmic: true,
    bars: (figures) =>
      figures
        .filter(({ what }) => what.includes("SQL"))
        .map((one) => barOf(one, `${one.of}, ${one.what.split(", ").at(-1)}`)),
  },
  {
    file: "parts",
    from: ["parts"],
    title: "What each part costs: CPU for a message with and without it",
    unit: "µs a message",
    series: ["with it", "without it"],
    bars: withWhat("µs of CPU a message, process"),
  },
  {
    file: "partitions",
    from: ["partitions"],
    title: "Working off a backlog, by partitions and processes",
    unit: "messages/s",
    series: ["messages/s"],
    bars: (figures) =>
      figures.map(({ of, ours }) => ({
        label: of.replace(" by one", ""),
        values: [ours],
      })),
  },
  {
    file: "live",
    from: ["sustained"],
    title: "From MQTT to stored: CPU for a message, by part",
    unit: "µs a message",
    series: ["twinstream", "bare pipeline"],
    bars: (figures) =>
      figures
        .filter(({ what }) => what.startsWith("µs of CPU a message, "))
        .map((one) => barOf(one, one.what.split(", ").at(-1)!)),
  },
];

/** Draws those whose results are there; answers the files. */
export function drawAll(results: string, folder: string): string[] {
  mkdirSync(folder, { recursive: true });
  const drawn: string[] = [];
  for (const { file, from, bars, ...plot } of PLOTS) {
    const kept = from
      .map((question) => join(results, `${question}.json`))
      .filter((path) => existsSync(path))
      .map((path) => JSON.parse(readFileSync(path, "utf8")) as BenchResult);
    const shown = bars(kept.flatMap(({ figures }) => figures));
    if (shown.length === 0) continue;
    const { commit, at, machine } = kept[0]!;
    const foot = `${machine.cores} × ${machine.cpu}, all services beside it; Node ${machine.node}; commit ${commit}, ${at.slice(0, 10)}; median and spread of the runs`;
    const path = join(folder, `${file}.svg`);
    writeFileSync(path, barPlot({ ...plot, bars: shown, foot }));
    drawn.push(path);
  }
  return drawn;
}
