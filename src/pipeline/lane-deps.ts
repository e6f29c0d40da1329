/** What every lane of a processor works with, and its settings. */
import type { DeviceRules } from "../domain/decide.js";
import { TOPIC } from "../domain/names.js";
import type {
  Clock,
  CommandLink,
  DeviceActors,
  DeviceView,
  LaneFeed,
  LogInspector,
  LogWriter,
  Observer,
  TelemetryStore,
  Tracer,
} from "../ports.js";
import type { Known } from "./horizon.js";
import type { Decode } from "./prepare.js";
import type { Backoff } from "./retry.js";
import type { Turns } from "./turns.js";

/** The two topics of a lane, in the order in which they are claimed. */
export const LANE_TOPICS = [TOPIC.commands, TOPIC.data] as const;

export interface LaneDeps {
  readonly feed: LaneFeed;
  readonly log: LogInspector;
  readonly deadLetters: LogWriter;
  readonly store: TelemetryStore;
  readonly view: DeviceView;
  readonly link: CommandLink;
  readonly actors: DeviceActors;
  readonly observer: Observer;
  readonly clock: Clock;
  readonly decode: (topic: string) => Decode;
  readonly rules: DeviceRules;
  /** What the latest look at the log knows; null before the first. */
  readonly known: () => Known | null;
  /** Among all lanes of the process. */
  readonly turns: Turns;
  readonly settings: LaneSettings;
  /** Where traces are wanted. */
  readonly tracer?: Tracer | undefined;
}
export interface LaneSettings {
  /** Name of this process in the fence. */
  readonly owner: string;
  /** The consumer group. */
  readonly group: string;
  readonly batchSize: number;
  readonly batchMs: number;
  readonly offlineAfterMs: number;
  readonly actorIdleMs: number;
  /** How a store that is away is waited for; `PATIENT` unless given. */
  readonly backoff?: Backoff;
  /** How often a refused lane looks whether the stored offsets were mended; 15 s unless given. */
  readonly refusedMs?: number;
  /** A lane's shares; they shrink as the process is given more partitions. */
  readonly share: () => { messages: number; bytes: number; actors: number };
}
