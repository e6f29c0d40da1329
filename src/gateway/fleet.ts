/**
 * A fleet in one look. Each part comes from a service of its own and is null when that one does not answer: an operator looks
 * at this just when something is away. What was found serves everybody of the tenant for a moment, so that many who look are
 * no more load than one.
 */
import { address, TOPIC } from "../domain/names.js";
import { reasonOf } from "../errors.js";
import type { FleetReader, LogBounds, LogInspector } from "../ports.js";
import { pointsOf } from "./analytics/recent.js";
import type { GatewayDeps } from "./deps.js";
import { inTime } from "./in-time.js";
import { onlineSinceUs } from "./presence.js";

export interface FleetDeps {
  readonly reader: FleetReader;
  readonly log: Pick<LogInspector, "bounds" | "offsetsAt">;
}

export interface FleetSummary {
  /** ISO 8601. */
  readonly at: string;
  readonly tenant: string;
  readonly devices: {
    readonly known: number | null;
    readonly online: number | null;
    readonly offline: number | null;
    /** Of those online: silent for more than half of the time after which a device is called offline. */
    readonly stale: number | null;
    readonly quarantined: number | null;
  };
  /** What the online devices' point `status` says, most devices first; of the first `asked` of them. */
  readonly states: {
    readonly asked: number;
    readonly counts: readonly {
      readonly state: string | null;
      readonly devices: number;
    }[];
  } | null;
  /** Of all tenants: the log tells them no more apart than its consumers do. */
  readonly system: {
    /** Records appended to `iot-data` a second, over the last seconds. */
    readonly messages_per_s: number | null;
    /** Records on the log that are not stored yet. */
    readonly lag: number | null;
  };
  readonly dead_letters: number | null;
}

/** Name of the point that says what a device does (contracts, 1.1). */
const STATE_POINT = "status";
/** Devices whose state is looked at, and how many at a time. */
const STATES_MOST = 5000;
const STATES_AT_ONCE = 250;
/** States shown by name; what a device says is its own, and a fleet could say as many as it has devices. */
const NAMED_STATES = 12;
/** Seconds that the rate is taken over: a balance between calm and quick. */
const RATE_S = 10;
/** Milliseconds that a finding serves, and that a part may take. */
const SERVES_MS = 2000;
const PART_MS = 4000;

export function createFleet(
  deps: Pick<
    GatewayDeps,
    "view" | "records" | "clock" | "settings" | "horizon" | "observer"
  >,
  { reader, log }: FleetDeps,
): { summary(tenant: string): Promise<FleetSummary> } {
  const { view, clock, settings, observer } = deps;
  const latest = new Map<
    string,
    { readonly atMs: number; readonly found: Promise<FleetSummary> }
  >();

  async function part<T>(name: string, work: Promise<T>): Promise<T | null> {
    try {
      return await inTime(work, PART_MS, "TOO_SLOW");
    } catch (error) {
      observer.emit({
        type: "failure",
        where: `gateway fleet: ${name}`,
        error: reasonOf(error),
      });
      return null;
    }
  }

  async function look(tenant: string, nowMs: number): Promise<FleetSummary> {
    const sinceS = onlineSinceUs(deps) / 1e6;
    const bounds = part(
      "log",
      Promise.all([log.bounds(TOPIC.data), log.bounds(TOPIC.commands)]),
    );
    const [seen, standing, ends, earlier] = await Promise.all([
      part("redis", view.online(tenant, sinceS)),
      part("database", reader.standing(tenant)),
      bounds,
      part("log rate", log.offsetsAt(TOPIC.data, nowMs - RATE_S * 1000)),
    ]);
    const staleS = nowMs / 1000 - settings.offlineTimeoutS / 2;
    const online = seen?.length ?? null;
    const known = standing?.known ?? null;
    return {
      at: new Date(nowMs).toISOString(),
      tenant,
      devices: {
        known,
        online,
        // A device heard of a moment ago may be in Redis and have no row yet.
        offline:
          known === null || online === null
            ? null
            : Math.max(0, known - online),
        stale: seen?.filter(({ seenS }) => seenS < staleS).length ?? null,
        quarantined: standing?.quarantined ?? null,
      },
      states:
        seen === null
          ? null
          : await part(
              "states",
              statesOf(
                tenant,
                seen.map(({ deviceId }) => deviceId),
              ),
            ),
      system: {
        messages_per_s:
          ends === null || earlier === null
            ? null
            : round(grown(ends[0], earlier) / RATE_S),
        lag:
          ends === null || standing === null
            ? null
            : lagOf(
                new Map([
                  [TOPIC.data, ends[0]],
                  [TOPIC.commands, ends[1]],
                ]),
                standing.positions,
              ),
      },
      dead_letters: standing?.deadLetters ?? null,
    };
  }

  async function statesOf(tenant: string, devices: readonly string[]) {
    const asked = devices.slice(0, STATES_MOST);
    const counts = new Map<string | null, number>();
    for (let i = 0; i < asked.length; i += STATES_AT_ONCE) {
      const some = asked.slice(i, i + STATES_AT_ONCE);
      const lasts = await Promise.all(
        some.map((device) => view.last(address(tenant, device))),
      );
      for (const last of lasts) {
        const state = last === null ? null : stateIn(last.payload);
        counts.set(state, (counts.get(state) ?? 0) + 1);
      }
    }
    return { asked: asked.length, counts: mostFirst(counts) };
  }

  return {
    summary(tenant) {
      const nowMs = clock();
      const kept = latest.get(tenant);
      if (kept !== undefined && nowMs - kept.atMs < SERVES_MS)
        return kept.found;
      // Tenants that nobody looks at any more are let go.
      for (const [other, { atMs }] of latest)
        if (nowMs - atMs >= SERVES_MS) latest.delete(other);
      const found = look(tenant, nowMs);
      latest.set(tenant, { atMs: nowMs, found });
      return found;
    },
  };
}

function stateIn(payload: string): string | null {
  const point = pointsOf(JSON.parse(payload)).find(
    ({ name }) => name === STATE_POINT,
  );
  return point?.text ?? null;
}

/** The states by name; the rarest together under the name `…`. */
function mostFirst(counts: ReadonlyMap<string | null, number>) {
  const sorted = [...counts]
    .map(([state, devices]) => ({ state, devices }))
    .toSorted((a, b) => b.devices - a.devices);
  const rest = sorted
    .slice(NAMED_STATES)
    .reduce((sum, { devices }) => sum + devices, 0);
  const named = sorted.slice(0, NAMED_STATES);
  return rest === 0 ? named : [...named, { state: "…", devices: rest }];
}

const grown = (
  ends: readonly LogBounds[],
  earlier: readonly number[],
): number =>
  ends.reduce((sum, { high }, i) => sum + high - (earlier[i] ?? high), 0);

/** What lies between the lanes' positions and the ends; what retention took is nobody's lag. */
function lagOf(
  ends: ReadonlyMap<string, readonly LogBounds[]>,
  positions: readonly {
    topic: string;
    partition: number;
    nextOffset: number;
  }[],
): number {
  const storedTo = new Map(
    positions.map((one) => [`${one.topic}/${one.partition}`, one.nextOffset]),
  );
  let lag = 0;
  for (const [topic, bounds] of ends)
    bounds.forEach(({ low, high }, partition) => {
      const next = storedTo.get(`${topic}/${partition}`) ?? 0;
      lag += Math.max(0, high - Math.max(low, next));
    });
  return lag;
}

const round = (perSecond: number): number => Math.round(perSecond * 10) / 10;
