/** A device's sensors over time, one panel each, for ranges from an hour to a year. */
import { useState } from "preact/hooks";
import { byName, SPAN_S, type Sensor } from "../device-data.js";
import { valueText } from "../format.js";
import { go } from "../navigation.js";
import { type Range, RANGES } from "../places.js";
import { Bands } from "./bands.js";
import { Card, Empty, Failure, Loading, Segments } from "./basics.js";
import { Chart } from "./chart.js";
import type { Question } from "./explain.js";
import type { Charted } from "./use-device-data.js";

const SPOKEN: Readonly<Record<Range, string>> = {
  "1h": "1 hour",
  "5h": "5 hours",
  "1d": "1 day",
  "1w": "1 week",
  "1M": "1 month",
  "1y": "1 year",
};
/** Panels at first: each costs its drawing. */
const PANELS = 12;
const DAY_S = 86_400;

export function Charts({
  id,
  range,
  charted,
  onPick,
}: {
  readonly id: string;
  readonly range: Range;
  readonly charted: Charted;
  readonly onPick: (question: Question) => void;
}) {
  const { data, failure, version } = charted;
  const [all, setAll] = useState(false);
  const sensors = [...(data?.sensors.values() ?? [])].sort(byName);
  const shown = all ? sensors : sensors.slice(0, PANELS);
  return (
    <Card
      title="History"
      aside={
        <Segments
          label="Range"
          options={RANGES.map((key) => ({
            key,
            text: key,
            spoken: SPOKEN[key],
          }))}
          chosen={range}
          choose={(one) => go({ name: "device", id, range: one }, "replace")}
        />
      }
    >
      {failure !== null && <Failure failure={failure} again={charted.again} />}
      {data === null && failure === null && <Loading what="its history" />}
      {data !== null && sensors.length === 0 && (
        <Empty title={`No readings in the last ${SPOKEN[range]}`}>
          Choose a longer range, or wait for its next message.
        </Empty>
      )}
      {data !== null && (
        <div class="panels" data-range={range}>
          {shown.map((sensor) => (
            <div class="panel" key={sensor.name}>
              <div class="panel-head">
                <h3>{sensor.name}</h3>
                {sensor.unit !== null && (
                  <span class="unit">{sensor.unit}</span>
                )}
                <output class="muted" aria-hidden="true" />
                <span class="panel-now">{nowText(sensor)}</span>
              </div>
              {sensor.kind === "text" ? (
                <Bands
                  data={data}
                  sensor={sensor}
                  onPick={(at) => onPick({ point: sensor.name, at })}
                />
              ) : (
                <Chart
                  data={data}
                  sensor={sensor}
                  version={version}
                  onPick={(at) => onPick({ point: sensor.name, at })}
                />
              )}
            </div>
          ))}
        </div>
      )}
      {sensors.length > shown.length && (
        <button type="button" class="small" onClick={() => setAll(true)}>
          Show {sensors.length - shown.length} more
        </button>
      )}
      {data !== null && sensors.length > 0 && (
        <p class="hint muted">
          {data.bucketS === 0
            ? "Click a chart to see where the reading under the cursor came from."
            : `Mean, least and greatest by ${data.bucketS === DAY_S ? "day" : "hour"}${SPAN_S[range] <= 7 * DAY_S ? "; the last five hours by reading" : ""}.`}
          {data.cut && " There are more readings than are shown."}
        </p>
      )}
    </Card>
  );
}

function nowText({ kind, track }: Sensor): string {
  const value = track.values.at(-1);
  if (kind === "text") return valueText(track.texts.at(-1));
  return valueText(kind === "bool" && value != null ? value !== 0 : value);
}
