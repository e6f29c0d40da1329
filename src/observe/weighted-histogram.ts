/** A histogram that takes "this value, n times" in one step, which prom-client's own does not: a batch is one observation. */
import type { Metric, Registry } from "prom-client";

export interface WeightedHistogram {
  /** `count` observations of one value. */
  observe(value: number, count: number): void;
}

/** Registers a histogram without labels. `buckets` are upper bounds, ascending. */
export function createWeightedHistogram(
  registry: Registry,
  spec: { name: string; help: string; buckets: readonly number[] },
): WeightedHistogram {
  const counts = spec.buckets.map(() => 0);
  let sum = 0;
  let total = 0;

  const get = async () => {
    let below = 0;
    const sample = (suffix: string, value: number, labels = {}) => ({
      metricName: `${spec.name}_${suffix}`,
      labels,
      value,
    });
    return {
      name: spec.name,
      help: spec.help,
      type: "histogram",
      aggregator: "sum",
      values: [
        ...spec.buckets.map((le, i) =>
          sample("bucket", (below += counts[i] ?? 0), { le }),
        ),
        sample("bucket", total, { le: "+Inf" }),
        sample("sum", sum),
        sample("count", total),
      ],
    };
  };
  const reset = (): void => {
    counts.fill(0);
    sum = 0;
    total = 0;
  };
  // The registry asks a metric for nothing but `name`, `get` and `reset` (prom-client 15.1.3, lib/registry.js); its type
  // names the four classes only.
  const metric: unknown = { name: spec.name, get, reset };
  registry.registerMetric(metric as Metric);

  return {
    observe(value, count) {
      const at = spec.buckets.findIndex((bound) => value <= bound);
      if (at >= 0) counts[at] = (counts[at] ?? 0) + count;
      sum += value * count;
      total += count;
    },
  };
}
