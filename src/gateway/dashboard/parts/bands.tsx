/** A sensor that speaks in words, over time: a strip of coloured stretches, each with its word. */
import type { DeviceData, Sensor } from "../device-data.js";
import { momentText, spanText } from "../format.js";
import { bandsOf, nearest } from "../series.js";

const WIDTH = 1000;
const HEIGHT = 26;
/** Percent of the width under which a word does not fit. */
const ROOM = 12;

export function Bands({
  data,
  sensor,
  onPick,
}: {
  readonly data: DeviceData;
  readonly sensor: Sensor;
  readonly onPick: (exact: string) => void;
}) {
  const nowS = Date.now() / 1000;
  const { spanS } = data;
  const fromS = nowS - spanS;
  const bands = bandsOf(sensor.track, fromS, nowS);
  const words = [...new Set(bands.map((band) => band.text))];
  const percent = (atS: number): number => ((atS - fromS) / spanS) * 100;
  if (bands.length === 0)
    return (
      <p class="muted small">No words in the last {spanText(spanS * 1000)}</p>
    );
  return (
    <div
      class="bands"
      role="img"
      aria-label={`${sensor.name}: ${bands.length} stretches, now ${bands.at(-1)!.text}`}
      onClick={(event) => {
        const box = event.currentTarget.getBoundingClientRect();
        const share = (event.clientX - box.left) / box.width;
        const at = nearest(sensor.track, fromS + share * spanS);
        if (at !== null) onPick(sensor.track.exact[at]!);
      }}
    >
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        aria-hidden="true"
      >
        {bands.map((band) => (
          <rect
            key={band.fromS}
            class={`band tone-${toneOf(band.text, words)}`}
            x={(percent(band.fromS) / 100) * WIDTH}
            width={Math.max(1, ((band.toS - band.fromS) / spanS) * WIDTH)}
            height={HEIGHT}
          >
            <title>{`${band.text} from ${momentText(band.fromS * 1000, Date.now())} for ${spanText((band.toS - band.fromS) * 1000)}`}</title>
          </rect>
        ))}
      </svg>
      {bands
        .filter((band) => percent(band.toS) - percent(band.fromS) > ROOM)
        .map((band) => (
          <span
            key={band.fromS}
            class="band-text"
            aria-hidden="true"
            style={{
              left: `${percent(band.fromS)}%`,
              width: `${percent(band.toS) - percent(band.fromS)}%`,
            }}
          >
            {band.text}
          </span>
        ))}
    </div>
  );
}

const KNOWN: Readonly<Record<string, string>> = {
  RUN: "good",
  STOP: "quiet",
  ALARM: "bad",
  FAULT: "bad",
};
const OTHERS = ["a", "b", "c", "d"];

const toneOf = (word: string, words: readonly string[]): string =>
  KNOWN[word] ?? OTHERS[words.indexOf(word) % OTHERS.length]!;
