/** What each role's metrics say of its load. */
import type { Config } from "../../config.js";
import type { Load } from "../../domain/capacity.js";
import { reasonOf } from "../../errors.js";
import { withoutMetrics } from "../metrics-urls.js";
import { readScrape, type Scrape, sumOf } from "../scrape.js";

export interface RoleLoad {
  readonly role: string;
  readonly url: string;
  /** Why it could not be asked; null when it was. */
  readonly trouble: string | null;
  /** Of a core. */
  readonly cores: number;
  readonly residentBytes: number;
  /** Messages a second through it: a processor's stored ones, a bridge's onto the log. */
  readonly messagesPerSecond: number;
  readonly pointsPerSecond: number;
  readonly actors: number;
  readonly lag: number;
}

/** A text says why there is none. */
type Answer = Scrape | string;

const ASK_MS = 5000;

/** @param urls of their metrics, by the role's name */
export async function askRoles(
  urls: ReadonlyMap<string, string>,
): Promise<Map<string, Answer>> {
  const answers = await Promise.all(
    [...urls].map(async ([role, url]): Promise<[string, Answer]> => {
      try {
        const signal = AbortSignal.timeout(ASK_MS);
        const answer = await fetch(`${withoutMetrics(url)}/metrics`, {
          signal,
        });
        if (!answer.ok) return [role, `answered ${answer.status}`];
        return [role, readScrape(await answer.text())];
      } catch (error) {
        return [role, reasonOf(error)];
      }
    }),
  );
  return new Map(answers);
}

export function roleLoad(
  role: string,
  url: string,
  before: Answer,
  after: Answer,
  seconds: number,
): RoleLoad {
  const none = {
    role,
    url,
    cores: 0,
    residentBytes: 0,
    messagesPerSecond: 0,
    pointsPerSecond: 0,
    actors: 0,
    lag: 0,
  };
  if (typeof before === "string") return { ...none, trouble: before };
  if (typeof after === "string") return { ...none, trouble: after };
  const now = (name: string): number => sumOf(after, name);
  const rate = (name: string): number =>
    Math.max(0, now(name) - sumOf(before, name)) / seconds;
  return {
    ...none,
    trouble: null,
    cores: rate("process_cpu_seconds_total"),
    residentBytes: now("process_resident_memory_bytes"),
    messagesPerSecond: Math.max(
      rate("ingest_messages_total"),
      rate("bridge_messages_total"),
    ),
    pointsPerSecond: rate("ingest_points_total"),
    actors: now("actors_alive"),
    lag: now("consumer_lag"),
  };
}

/** What can be full in a role that answered. */
export function roleLoads(
  { role, trouble, cores, actors }: RoleLoad,
  answer: Answer,
  config: Config,
): Load[] {
  if (trouble !== null || typeof answer === "string") return [];
  const now = (name: string): number => sumOf(answer, name);
  const works = now("lanes_assigned") > 0;
  const loads: Load[] = [
    {
      part: role,
      what: "its core",
      used: cores,
      full: 1,
      unit: "cores",
      withRate: true,
      remedy: works
        ? "start another processor: the group shares the partitions out, up to one for each"
        : "start another process of this role (bridges: deploy/operations.md, Several bridges)",
    },
  ];
  if (works)
    loads.push(
      {
        part: role,
        what: "live actors",
        used: actors,
        full: config.MAX_LIVE_ACTORS,
        unit: "actors",
        withRate: false,
        remedy:
          "raise MAX_LIVE_ACTORS where there is memory (deploy/capacity.md), or start another processor",
      },
      {
        part: role,
        what: "INGEST_QUEUE_MAX",
        used: now("ingest_queue_size"),
        full: config.INGEST_QUEUE_MAX,
        unit: "messages",
        withRate: false,
        remedy:
          "a full queue is a database that is slower than the log: see flush_seconds of the database",
      },
    );
  if (now("bridge_window_messages") > 0)
    loads.push({
      part: role,
      what: "BRIDGE_WINDOW",
      used: now("bridge_window_messages"),
      full: config.BRIDGE_WINDOW,
      unit: "messages",
      withRate: false,
      remedy:
        "a full window is a log that answers slowly: see bridge_append_seconds",
    });
  return loads;
}
