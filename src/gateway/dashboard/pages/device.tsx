/** One device: what it says now, what it said, what happened, what it was told. */
import { useEffect, useState } from "preact/hooks";
import type { DeviceState } from "../answers.js";
import { ask } from "../api.js";
import { useAsked } from "../asked.js";
import { openLive, type PresenceNews } from "../live.js";
import { devicesAt, type Range } from "../places.js";
import {
  Ago,
  Answered,
  Badge,
  Heading,
  Link,
  Presence,
} from "../parts/basics.js";
import { Charts } from "../parts/charts.js";
import { Commands } from "../parts/commands.js";
import { Events } from "../parts/events.js";
import { Explain, type Question } from "../parts/explain.js";
import { Points } from "../parts/points.js";
import { useDeviceData } from "../parts/use-device-data.js";

/** The stream tells what is new; this is for what it does not tell, and for when it is away. */
const EVERY_MS = 15_000;

export function Device({
  id,
  range,
}: {
  readonly id: string;
  readonly range: Range;
}) {
  const asked = useAsked(
    id,
    (signal) =>
      ask<DeviceState>(`/devices/${encodeURIComponent(id)}`, { signal }),
    EVERY_MS,
  );
  const charted = useDeviceData(id, range);
  const [presence, setPresence] = useState<PresenceNews | null>(null);
  const [heardMs, setHeardMs] = useState(0);
  const [question, setQuestion] = useState<Question | null>(null);
  const { take, again } = charted;

  useEffect(
    () =>
      openLive([id], (news) => {
        const change = news.presence.at(-1);
        if (change !== undefined) setPresence(change);
        if (news.gap) again();
        if (news.updates.length === 0) return;
        setHeardMs(Date.now());
        take(news.updates);
      }),
    [id, take, again],
  );
  useEffect(() => setPresence(null), [asked.atMs]);

  const state = asked.value;
  const online = presence?.online ?? state?.online ?? false;
  const cause = presence === null ? state?.cause : presence.cause;
  const seen =
    heardMs > Date.parse(state?.last_seen ?? "1970-01-01")
      ? new Date(heardMs).toISOString()
      : (state?.last_seen ?? null);

  return (
    <>
      <nav class="crumbs" aria-label="Path">
        <Link to={devicesAt()}>← Devices</Link>
      </nav>
      <div class="page-head">
        <Heading>
          <span class="device-name">{id}</span>
        </Heading>
        {state !== null && (
          <div class="facts">
            <Presence online={online} />
            {cause != null && <Badge tone="warn">{cause}</Badge>}
            <span class="muted">
              last heard <Ago iso={seen} />
            </span>
          </div>
        )}
      </div>
      <Answered asked={asked} what="the device">
        {(now) => (
          <div class="device-page">
            <Points
              state={now}
              data={charted.data}
              version={charted.version}
              onPick={setQuestion}
            />
            <Charts
              id={id}
              range={range}
              charted={charted}
              onPick={setQuestion}
            />
            <Commands device={id} online={online} />
            <Events device={id} />
          </div>
        )}
      </Answered>
      {question !== null && (
        <Explain
          device={id}
          question={question}
          onClose={() => setQuestion(null)}
        />
      )}
    </>
  );
}
