/** A line that shows which way a number goes; the number itself stands beside it. */

const WIDTH = 120;
const HEIGHT = 28;

export function Spark({ values }: { readonly values: readonly number[] }) {
  if (values.length < 3) return <div class="spark" aria-hidden="true" />;
  const most = Math.max(...values, 1);
  const points = values
    .map(
      (value, i) =>
        `${((i / (values.length - 1)) * WIDTH).toFixed(1)},${(HEIGHT - 2 - (value / most) * (HEIGHT - 4)).toFixed(1)}`,
    )
    .join(" ");
  return (
    <svg
      class="spark"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <polyline points={points} />
    </svg>
  );
}
