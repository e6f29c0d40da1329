/** The README's table: every figure that has a goal, as it was measured. Pure. */
import type { BenchResult } from "./bench.js";
import type { Judged } from "./measured.js";
import { table } from "./pages.js";

const shown = (value: number): string =>
  value >= 1000
    ? Math.round(value).toLocaleString("en")
    : String(Number(value.toPrecision(3)));

function goalOf({ goal, goalRatio, less, goalMet }: Judged): string {
  const sign = less ? "≤" : "≥";
  const goals = [
    goal === undefined ? null : `${sign} ${shown(goal)}`,
    goalRatio === undefined ? null : `${sign} ${goalRatio} of bare`,
  ].filter((one) => one !== null);
  return `${goals.join(", ")}: ${goalMet ? "met" : "**not met**"}`;
}

function spread({ ours }: Judged): string {
  const { median, low, high } = ours;
  return low === high
    ? shown(median)
    : `${shown(median)} (${shown(low)}–${shown(high)})`;
}

export const figuresTable = (results: readonly BenchResult[]): string =>
  table(
    ["what", "measured", "bare", "ratio", "goal"],
    results.flatMap(({ figures }) =>
      figures
        .filter(
          ({ goal, goalRatio }) =>
            goal !== undefined || goalRatio !== undefined,
        )
        .map((one) => [
          `${one.of}: ${one.what}`,
          spread(one),
          one.theirs === null ? "" : shown(one.theirs.median),
          one.ratio === null ? "" : shown(one.ratio),
          goalOf(one),
        ]),
    ),
  );

/** When and where the runs took place. */
export function runsLine(results: readonly BenchResult[]): string {
  const commits = new Set(results.map(({ commit }) => commit));
  const days = new Set(results.map(({ at }) => at.slice(0, 10)));
  const loads = results.map(({ machine }) => machine.load[0]);
  const { cpu, cores, memory_gib: gib, node } = results[0]!.machine;
  return `${[...days].join(", ")}, commit ${[...commits].join(", ")}: ${cores} × ${cpu}, ${gib} GiB, Node ${node}; load when each began ${Math.min(...loads)} to ${Math.max(...loads)}.`;
}
