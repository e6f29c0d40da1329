/** The newest value of each of a device's points. */
import type { DeviceState } from "../answers.js";
import { byName, type DeviceData } from "../device-data.js";
import { exactText, valueText } from "../format.js";
import { pointsOf } from "../payload-points.js";
import { Ago, Card, Empty } from "./basics.js";
import type { Question } from "./explain.js";
import { Icon } from "./icons.js";

interface Now {
  readonly name: string;
  readonly value: unknown;
  readonly unit: string | null;
  /** As the server writes it. */
  readonly at: string | null;
}

export function Points({
  state,
  data,
  onPick,
}: {
  readonly state: DeviceState;
  readonly data: DeviceData | null;
  /** Read for nothing but that it changes. */
  readonly version: number;
  readonly onPick: (question: Question) => void;
}) {
  const points = newestOf(state, data);
  const newest = points
    .flatMap(({ at }) => (at === null ? [] : [at]))
    .sort()
    .at(-1);
  return (
    <Card
      title="Now"
      flush
      aside={
        newest !== undefined && (
          <span class="muted">
            <Ago iso={newest} />
          </span>
        )
      }
    >
      {points.length === 0 ? (
        <Empty title="It has said nothing yet">
          Its readings appear here with its first message of data.
        </Empty>
      ) : (
        <ul class="points">
          {points.map(({ name, value, unit, at }) => (
            <li key={name}>
              <span class="point-name" title={name}>
                {name}
              </span>
              <span class="point-value">
                <strong data-point={name}>{valueText(value)}</strong>
                {unit !== null && <span class="unit">{unit}</span>}
              </span>
              <button
                type="button"
                class="quiet icon"
                disabled={at === null}
                aria-label={`Explain ${name}`}
                title={
                  at === null
                    ? "No reading of it is known"
                    : `Where this reading of ${exactText(at)} came from`
                }
                onClick={() => at !== null && onPick({ point: name, at })}
              >
                <Icon name="why" />
              </button>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

/** By readings where there are any; what the newest message says of others, too. */
function newestOf(state: DeviceState, data: DeviceData | null): Now[] {
  const found = new Map<string, Now>();
  const at =
    state.timestamp === null
      ? null
      : new Date(state.timestamp * 1000).toISOString();
  for (const { name, value, unit } of pointsOf(state.payload) ?? [])
    found.set(name, { name, value, unit, at });
  for (const { name, kind, unit, track } of data?.sensors.values() ?? []) {
    const exact = track.exact.at(-1);
    if (exact === undefined) continue;
    // The message may be newer than the readings, which are read only once.
    const told = found.get(name);
    if (told?.at != null && Date.parse(told.at) > Date.parse(exact)) continue;
    const value = track.values.at(-1) ?? null;
    found.set(name, {
      name,
      value:
        kind === "text"
          ? track.texts.at(-1)
          : kind === "bool" && value !== null
            ? value !== 0
            : value,
      unit: unit ?? told?.unit ?? null,
      at: exact,
    });
  }
  return [...found.values()].sort(byName);
}
