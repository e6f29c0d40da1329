/** A run against the reference that was kept, ratio by ratio. Pure. */
import type { Judged } from "./measured.js";

/** In words, each figure whose ratio to the bare operation is worse than the kept one by more than `loss` (0.15 is 15 %). */
export function lossesAgainst(
  kept: readonly Judged[],
  now: readonly Judged[],
  loss: number,
): string[] {
  const losses: string[] = [];
  for (const { of, what, less, ratio } of now) {
    const before = kept.find((one) => one.of === of && one.what === what);
    if (before?.ratio == null || ratio === null)
      throw new Error(
        `the reference holds no ratio for ${of}, ${what}: make a new one with npm run bench -- --reference`,
      );
    // How much slower: the time a message takes, against the bare one's.
    const slower = less ? ratio / before.ratio : before.ratio / ratio;
    if (slower > 1 + loss)
      losses.push(
        `${of}, ${what}: ratio ${ratio}, was ${before.ratio}: ${Math.round((slower - 1) * 100)} % slower against the bare pipeline, allowed are ${Math.round(loss * 100)} %`,
      );
  }
  return losses;
}
