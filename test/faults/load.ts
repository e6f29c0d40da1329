/** The fleet of a trial, with its sender's ledger. It runs in a thread of the suite's own process, which no fault touches. */
import { setTimeout as pause } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { read, type SimulateOptions } from "../../src/simulator/options.js";
import type { Progress, Summary } from "../../src/simulator/tally.js";

/** What every trial's fleet sends unless the scenario says otherwise. */
const USUAL = {
  mix: read.mix("normalised=70,plain=20,parsec=5,hello=5"),
  outOfOrder: 0.02,
  duplicates: 0.02,
  poison: 0.005,
  points: 6,
  qos: 1,
  answerCommands: false,
  drain: 90,
  speed: 0,
  point: "value",
} as const;

const LOOK_MS = 50;

/** What a fleet sends, where it is not the usual. */
export interface Fleet extends Partial<SimulateOptions> {
  readonly devices: number;
  readonly prefix: string;
  readonly seed: number;
  /** Of the devices, where they are not numbered. */
  readonly ids?: readonly string[];
  /** It takes what the others leave of the processors: that many devices have some of their own. */
  readonly yields?: boolean;
}

/** What the thread is given. */
export interface LoadData {
  readonly options: SimulateOptions;
  readonly ids: readonly string[] | undefined;
  readonly mqttUrl: string;
  readonly yields: boolean;
}

/** What it tells; whatever it is told ends the fleet. */
export type ToMain =
  { readonly progress: Progress } | { readonly summary: Summary };

export interface RunningLoad {
  /** Of the newest second. */
  progress(): Progress | null;
  /** Seconds since the first message; 0 before it. */
  seconds(): number;
  /** Resolves when so many seconds have passed since the first message. @throws what ended the load */
  reaches(seconds: number): Promise<void>;
  /** Resolves when all of it was sent and answered. */
  readonly ended: Promise<Summary>;
  /** Sends no more; resolves with `ended`. */
  stop(): Promise<Summary>;
}

export function startLoad(
  { ids, yields = false, ...options }: Fleet,
  mqttUrl: string,
): RunningLoad {
  let newest: Progress | null = null;
  let beganMs = Infinity;
  let failure: unknown = null;
  const workerData: LoadData = {
    options: { ...USUAL, connections: options.devices, ...options },
    ids,
    mqttUrl: options.mqtt ?? mqttUrl,
    yields,
  };
  const thread = new Worker(new URL("./load-thread.js", import.meta.url), {
    workerData,
  });
  const ended = new Promise<Summary>((resolve, reject) => {
    thread.on("error", reject);
    thread.on("message", (said: ToMain) => {
      if ("summary" in said) return resolve(said.summary);
      newest = said.progress;
      beganMs = Math.min(
        beganMs,
        performance.now() - said.progress.seconds * 1000,
      );
    });
  });
  ended.catch((error: unknown) => {
    failure = error;
  });
  const seconds = () => Math.max(0, performance.now() - beganMs) / 1000;
  return {
    progress: () => newest,
    seconds: () => (beganMs === Infinity ? 0 : seconds()),
    async reaches(wanted) {
      while (beganMs === Infinity || seconds() < wanted) {
        if (failure !== null) throw failure;
        await pause(LOOK_MS);
      }
    },
    ended,
    stop() {
      thread.postMessage("stop");
      return ended;
    },
  };
}
