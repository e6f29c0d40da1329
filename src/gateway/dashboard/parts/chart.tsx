/** One number over time: its line, and the span between least and greatest behind it. Drawn by uPlot, at most eight times a second. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { DeviceData, Sensor } from "../device-data.js";
import {
  axisText,
  momentText,
  numberText,
  tickText,
  valueText,
} from "../format.js";
import { joined, type Lines, nearest, thinned } from "../series.js";
import { colour, isDark } from "../theme.js";

const HEIGHT = 132;
/** Milliseconds between drawings. */
const PACE_MS = 125;
/** Pixels of a column of readings: finer the eye does not see. */
const COLUMN_PX = 2;

export function Chart({
  data,
  sensor,
  version,
  onPick,
}: {
  readonly data: DeviceData;
  readonly sensor: Sensor;
  /** Another number: there is something new to draw. */
  readonly version: number;
  /** A reading was chosen, by its exact time. */
  readonly onPick: (exact: string) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const drawn = useRef(0);
  const pick = useRef(onPick);
  pick.current = onPick;
  const dark = isDark.value;

  useEffect(() => {
    const element = box.current!;
    const made = new uPlot(
      optionsOf(data, sensor, element.clientWidth),
      [[], [], [], []],
      element,
    );
    plot.current = made;
    made.setData(columnsOf(data, sensor, made.width));
    const resized = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: HEIGHT });
      made.setData(columnsOf(data, sensor, made.width));
    });
    resized.observe(element);
    const clicked = (): void => {
      const { left } = made.cursor;
      if (left === undefined || left < 0) return;
      const at = nearest(sensor.track, made.posToVal(left, "x"));
      if (at !== null) pick.current(sensor.track.exact[at]!);
    };
    made.over.addEventListener("click", clicked);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [data, sensor, dark]);

  useEffect(() => {
    const left = drawn.current + PACE_MS - Date.now();
    const timer = setTimeout(
      () => {
        drawn.current = Date.now();
        const made = plot.current;
        made?.setData(columnsOf(data, sensor, made.width));
      },
      Math.max(0, left),
    );
    return () => clearTimeout(timer);
  }, [version, data, sensor]);

  return <div class="chart" role="img" aria-label={spoken(sensor)} ref={box} />;
}

function columnsOf(
  data: DeviceData,
  sensor: Sensor,
  width: number,
): uPlot.AlignedData {
  const { times, middle, least, greatest } = linesOf(data, sensor, width);
  return [times, middle, least, greatest];
}

function linesOf(data: DeviceData, sensor: Sensor, width: number): Lines {
  const nowS = Date.now() / 1000;
  const columns = Math.max(60, Math.floor(width / COLUMN_PX));
  const rawS = data.bucketS === 0 ? data.spanS : 5 * 3600;
  // On a longer range the last hours get their share of the columns, so that both parts look alike.
  const share = Math.max(6, Math.round((columns * rawS) / data.spanS));
  const recent = thinned(sensor.track, nowS - rawS, nowS + 60, share);
  return data.bucketS === 0
    ? recent
    : joined(sensor.buckets, data.bucketS, recent);
}

function optionsOf(
  data: DeviceData,
  sensor: Sensor,
  width: number,
): uPlot.Options {
  const isBool = sensor.kind === "bool";
  const line = colour("--line");
  const grid = { stroke: colour("--grid"), width: 1 };
  const axis = {
    stroke: colour("--muted"),
    font: `11px ${colour("--sans")}`,
    grid,
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT,
    padding: [8, 6, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: "device" },
      drag: { x: false, y: false },
      points: { size: 7 },
    },
    scales: {
      // The whole range, also where there is nothing: that there is nothing is to be seen.
      x: { time: true, range: () => rangeOf(data) },
      y: isBool
        ? { range: [-0.1, 1.1] }
        : { range: (_plot, low, high) => roomy(low, high) },
    },
    axes: [
      {
        ...axis,
        size: 24,
        space: 70,
        values: (_plot, splits) =>
          splits.map((one) => tickText(one * 1000, data.spanS)),
      },
      {
        ...axis,
        size: 52,
        space: 30,
        ...(isBool && { splits: [0, 1] }),
        values: (_plot, splits) =>
          splits.map((one) =>
            isBool ? (one === 1 ? "on" : "off") : axisText(one),
          ),
      },
    ],
    series: [
      {},
      {
        stroke: line,
        width: 1.5,
        points: { show: false },
        ...(isBool && { paths: uPlot.paths.stepped!({ align: 1 }) }),
        ...(isBool && { fill: colour("--line-fill") }),
      },
      { stroke: "transparent", points: { show: false } },
      { stroke: "transparent", points: { show: false } },
    ],
    bands: isBool ? [] : [{ series: [3, 2], fill: colour("--line-fill") }],
    hooks: { setCursor: [showValue] },
  };
}

/** The value under the cursor, beside the chart's title. */
function showValue(plot: uPlot): void {
  const out = plot.root.closest(".panel")?.querySelector("output");
  if (out == null) return;
  const { idx } = plot.cursor;
  const value = idx == null ? null : plot.data[1]?.[idx];
  const time = idx == null ? null : plot.data[0][idx];
  out.value =
    value == null || time == null
      ? ""
      : `${numberText(value)} at ${momentText(time * 1000, Date.now())}`;
}

function rangeOf({ spanS }: DeviceData): [number, number] {
  const nowS = Date.now() / 1000;
  return [nowS - spanS, nowS];
}

/** A little air, so that a line never lies on the edge; a constant gets a scale all the same. */
function roomy(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1];
  const air = high > low ? (high - low) * 0.08 : Math.abs(high) * 0.1 || 1;
  return [low - air, high + air];
}

/** What a reader says in the chart's place. */
function spoken(sensor: Sensor): string {
  const values = sensor.track.values.filter((one) => one !== null);
  const unit = sensor.unit === null ? "" : ` ${sensor.unit}`;
  if (values.length === 0) return `${sensor.name}: no readings in this range`;
  const least = values.reduce((a, b) => Math.min(a, b));
  const greatest = values.reduce((a, b) => Math.max(a, b));
  return `${sensor.name}: now ${valueText(values.at(-1))}${unit}, between ${valueText(least)} and ${valueText(greatest)} in the last hours`;
}
