/** Latencies in buckets that grow by 2 %, so that a percentile of any number of them is that exact, in constant memory. */

const STEPS_PER_OCTAVE = 36;
/** Up to 2^36 microseconds, 19 hours. */
const BUCKETS = 36 * STEPS_PER_OCTAVE;

export interface Latencies {
  add(ms: number): void;
  /** Milliseconds; null when there are none. */
  percentile(share: number): number | null;
  max(): number | null;
}

export function countLatencies(): Latencies {
  const counts = new Float64Array(BUCKETS);
  let total = 0;
  let longest = 0;
  return {
    add(ms) {
      const steps = Math.log2(Math.max(1, ms * 1000)) * STEPS_PER_OCTAVE;
      const bucket = Math.min(BUCKETS - 1, Math.floor(steps));
      counts[bucket] = counts[bucket]! + 1;
      total += 1;
      longest = Math.max(longest, ms);
    },
    percentile(share) {
      if (total === 0) return null;
      let below = 0;
      for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
        below += counts[bucket]!;
        if (below >= share * total)
          return Math.min(
            longest,
            2 ** ((bucket + 0.5) / STEPS_PER_OCTAVE) / 1000,
          );
      }
      return longest;
    },
    max: () => (total === 0 ? null : longest),
  };
}
