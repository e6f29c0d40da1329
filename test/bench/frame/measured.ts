/** What a benchmark measured, and how it is summed up. Pure. */

/** One figure of one case: several runs of ours, and of the bare operation in turn with them. */
export interface Measured {
  /** What was asked of it, such as `1,000 devices × 4 points`. */
  readonly of: string;
  /** What was measured, such as `messages/s`. */
  readonly what: string;
  /** Whether less is better. */
  readonly less: boolean;
  readonly runs: readonly number[];
  /** The same of the bare operation, one for each run where there is one. */
  readonly bare?: readonly number[];
  /** What is wanted, on the machine that the goals were set on. */
  readonly goal?: number;
  /** What is wanted as a ratio to the bare operation. */
  readonly goalRatio?: number;
  /** Beyond it the run fails: never a time, always a ratio to the bare operation of the same run (or a size in bytes). */
  readonly floorRatio?: number;
  /** Bytes or counts that do not depend on how fast a machine is may fail by themselves. */
  readonly floor?: number;
}

export interface Summary {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export interface Judged extends Measured {
  readonly ours: Summary;
  readonly theirs: Summary | null;
  /** Ours by the bare one's: the median over the runs, each against the bare run beside it. */
  readonly ratio: number | null;
  readonly goalMet: boolean | null;
  /** Why the run fails; null where it does not. */
  readonly failure: string | null;
}

/** The value below which this part of the values lies; of sorted or unsorted numbers, at least one. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.round(part * (sorted.length - 1))]!;
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >>> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const summed = (values: readonly number[]): Summary => ({
  median: tidy(median(values)),
  low: tidy(Math.min(...values)),
  high: tidy(Math.max(...values)),
});

/** Four significant digits: no run is more exact. */
const tidy = (value: number): number =>
  Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(4));

export function judge(measured: Measured): Judged {
  const { less, runs, bare, goal, goalRatio, floor, floorRatio } = measured;
  const ours = summed(runs);
  const ratio =
    bare === undefined
      ? null
      : tidy(median(runs.map((run, i) => run / (bare[i] ?? median(bare)))));
  const within = (value: number, limit: number): boolean =>
    less ? value <= limit : value >= limit;
  const goals = [
    ...(goal === undefined ? [] : [within(ours.median, goal)]),
    ...(goalRatio === undefined || ratio === null
      ? []
      : [within(ratio, goalRatio)]),
  ];
  const side = less ? "above" : "below";
  let failure: string | null = null;
  if (floorRatio !== undefined && ratio !== null && !within(ratio, floorRatio))
    failure = `${ratio} of the bare operation is ${side} ${tidy(floorRatio)}`;
  if (floor !== undefined && !within(ours.median, floor))
    failure = `${ours.median} is ${side} ${floor}`;
  return {
    ...measured,
    runs: runs.map(tidy),
    ...(bare === undefined ? {} : { bare: bare.map(tidy) }),
    ours,
    theirs: bare === undefined ? null : summed(bare),
    ratio,
    goalMet: goals.length === 0 ? null : goals.every(Boolean),
    failure,
  };
}

const shown = (value: number): string =>
  value.toLocaleString("en", { maximumFractionDigits: 2 });
const spread = ({ median: middle, low, high }: Summary): string =>
  low === high
    ? shown(middle)
    : `${shown(middle)} (${shown(low)}–${shown(high)})`;

/** One line for a person. */
export function lineOf(judged: Judged): string {
  const { of, what, ours, theirs, ratio, goal, goalRatio, goalMet } = judged;
  const wanted = [
    ...(goal === undefined ? [] : [shown(goal)]),
    ...(goalRatio === undefined ? [] : [`${goalRatio} of bare`]),
  ].join(" and ");
  return [
    `${of}: ${spread(ours)} ${what}`,
    ...(theirs === null ? [] : [`bare ${spread(theirs)}`]),
    ...(ratio === null ? [] : [`ratio ${ratio}`]),
    ...(goalMet === null
      ? []
      : [`goal ${wanted} ${goalMet ? "met" : "not met"}`]),
    ...(judged.failure === null ? [] : [`FAILS: ${judged.failure}`]),
  ].join("; ");
}
