/** The fleet in one look: what is there, what it does, whether all that carries it is well. */
import type { ComponentChildren } from "preact";
import type { FleetSummary, Health } from "../answers.js";
import { ask } from "../api.js";
import { type Asked, useAsked } from "../asked.js";
import { countText, plural } from "../format.js";
import { devicesAt, type Place } from "../places.js";
import { mayOperate } from "../session.js";
import {
  Answered,
  Badge,
  Card,
  Empty,
  Heading,
  Link,
  Moment,
  type Tone,
} from "../parts/basics.js";
import { useTrail } from "../parts/trail.js";
import { Spark } from "../parts/spark.js";

const EVERY_MS = 3000;

export function Fleet() {
  const fleet = useAsked(
    "fleet",
    (signal) => ask<FleetSummary>("/fleet", { signal }),
    EVERY_MS,
  );
  const health = useAsked(
    "health",
    (signal) => ask<Health>("/health/detailed", { signal, also: [503] }),
    EVERY_MS,
  );
  const found = fleet.value;
  return (
    <>
      <div class="page-head">
        <Heading>Fleet</Heading>
        {found !== null && (
          <span class="muted">
            as of <Moment iso={found.at} />
          </span>
        )}
      </div>
      <Answered asked={fleet} what="the fleet">
        {(value) => <Numbers found={value} atMs={fleet.atMs} />}
      </Answered>
      <div class="columns">
        {found !== null && <States found={found} />}
        <Services health={health} />
      </div>
    </>
  );
}

function Numbers({
  found,
  atMs,
}: {
  readonly found: FleetSummary;
  readonly atMs: number;
}) {
  const { devices, system, dead_letters: letters } = found;
  const rates = useTrail(system.messages_per_s, atMs);
  const lags = useTrail(system.lag, atMs);
  if (devices.known === 0)
    return (
      <Empty title="No device has been heard of yet">
        Publish to <code>devices/my-device/data</code> at the MQTT broker, and
        it appears here by itself.
      </Empty>
    );
  return (
    <>
      <section class="tiles" aria-label="Devices">
        <Tile
          text="Online"
          value={devices.online}
          tone="good"
          to={devicesAt("online")}
          note={`of ${countText(devices.known)} known`}
        />
        <Tile
          text="Offline"
          value={devices.offline}
          tone="quiet"
          to={devicesAt("offline")}
          note="not heard of for a while"
        />
        <Tile
          text="Stale"
          value={devices.stale}
          tone={alarm(devices.stale, "warn")}
          to={devicesAt("online")}
          note="online, but getting silent"
        />
        <Tile
          text="In quarantine"
          value={devices.quarantined}
          tone={alarm(devices.quarantined, "bad")}
          {...(mayOperate() && { to: devicesAt("quarantined") })}
          note="crashed too often"
        />
      </section>
      <section class="tiles three" aria-label="Flow">
        <Tile
          text="Messages a second"
          value={system.messages_per_s}
          tone="info"
          note="all tenants, last 10 s"
        >
          <Spark values={rates} />
        </Tile>
        <Tile
          text="Lag"
          value={system.lag}
          tone="info"
          note="records not stored yet"
        >
          <Spark values={lags} />
        </Tile>
        <Tile
          text="Dead letters"
          value={letters}
          tone={alarm(letters, "warn")}
          {...(mayOperate() && {
            to: { name: "dead-letters", fingerprint: null } as const,
          })}
          note="messages that could not be stored"
        />
      </section>
    </>
  );
}

const alarm = (count: number | null, tone: Tone): Tone =>
  count === null || count === 0 ? "quiet" : tone;

function Tile({
  text,
  value,
  tone,
  to,
  note,
  children,
}: {
  readonly text: string;
  readonly value: number | null;
  readonly tone: Tone;
  readonly to?: Place;
  readonly note: string;
  readonly children?: ComponentChildren;
}) {
  const inner = (
    <>
      <span class="tile-text">{text}</span>
      <span class="tile-value" data-tile={text}>
        {countText(value)}
      </span>
      <span class="tile-note">{value === null ? "not known now" : note}</span>
      {children}
    </>
  );
  return to === undefined ? (
    <div class={`tile ${tone}`}>{inner}</div>
  ) : (
    <Link to={to} class={`tile ${tone}`}>
      {inner}
    </Link>
  );
}

const STATE_TONES: Readonly<Record<string, Tone>> = {
  RUN: "good",
  STOP: "quiet",
  ALARM: "bad",
  FAULT: "bad",
  ERROR: "bad",
};

function States({ found }: { readonly found: FleetSummary }) {
  const { states } = found;
  const most = Math.max(1, ...(states?.counts.map((one) => one.devices) ?? []));
  return (
    <Card
      title="What they do"
      aside={
        <span class="muted">
          {states === null
            ? "not known now"
            : `the point “status” of ${plural(states.asked, "online device")}`}
        </span>
      }
    >
      {states === null || states.counts.length === 0 ? (
        <Empty title="No device is online">
          What online devices say in their point <code>status</code> is counted
          here.
        </Empty>
      ) : (
        <ul class="bars">
          {states.counts.map(({ state, devices }) => (
            <li key={state ?? ""}>
              <span class="bar-text">{state ?? "says none"}</span>
              <span
                class={`bar ${state === null ? "quiet" : (STATE_TONES[state] ?? "info")}`}
                aria-hidden="true"
              >
                <span style={{ width: `${(100 * devices) / most}%` }} />
              </span>
              <span class="bar-count">{countText(devices)}</span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

const PARTS: Readonly<Record<string, string>> = {
  redis: "Redis",
  database: "Database",
  log: "Log",
  objects: "Object store",
  mqtt: "MQTT broker",
};

function Services({ health }: { readonly health: Asked<Health> }) {
  const status = health.value?.status;
  return (
    <Card
      title="Services"
      flush
      aside={
        status !== undefined && (
          <Badge tone={status === "ok" ? "good" : "bad"}>
            {status === "ok" ? "all well" : "degraded"}
          </Badge>
        )
      }
    >
      <Answered asked={health} what="their health">
        {({ parts }) => (
          <ul class="services">
            {parts.map(({ part, ok, latency_ms: ms, reason }) => (
              <li key={part}>
                <span class="service-name">{PARTS[part] ?? part}</span>
                <Badge tone={ok === null ? "quiet" : ok ? "good" : "bad"}>
                  {ok === null ? "not looked at" : ok ? "answers" : "away"}
                </Badge>
                <span class="muted service-note">
                  {reason ?? (ms === null ? "" : `${ms} ms`)}
                </span>
              </li>
            ))}
          </ul>
        )}
      </Answered>
    </Card>
  );
}
