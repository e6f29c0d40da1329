/** `twinstream dlq replay`: appends, then waits for what becomes of it; or decodes only. */
import { setTimeout as pause } from "node:timers/promises";
import { ulid } from "ulid";
import { createLogInspector } from "../adapters/kafka/inspector.js";
import { createLogWriter } from "../adapters/kafka/writer.js";
import { createTelemetryStore } from "../adapters/timescale/telemetry-store.js";
import type { Config } from "../config.js";
import { chooserOf } from "../domain/adapters/registry.js";
import { createDecoder } from "../domain/decode.js";
import { TOPIC } from "../domain/names.js";
import { whyNotReplayable } from "../domain/replay.js";
import { createReplayer } from "../pipeline/replay.js";
import type { LetterDesk, LetterFilter, Rehearsal } from "../ports.js";
import { decodeRules } from "./decode-rules.js";
import { selectionText } from "./dlq-print.js";
import { commandLogConnection } from "./kafka-log.js";
import { createActLog } from "./operator-acts.js";

export interface ReplayOptions {
  dryRun?: true;
  limit?: number;
  /** Seconds. */
  wait: number;
  json?: true;
}

const LOOK_MS = 200;
/** Progress is said this often at most. */
const SAY_MS = 1000;

export async function rehearseLetters(
  config: Config,
  desk: LetterDesk,
  filter: LetterFilter,
  options: ReplayOptions,
): Promise<void> {
  const connection = connect(config);
  const log = createLogInspector(connection);
  const writer = createLogWriter(connection);
  const store = createTelemetryStore({
    url: config.DATABASE_URL,
    name: "dlq",
    poolMin: 0,
    poolMax: 1,
  });
  const { signal, release } = interruptible();
  try {
    const adapters = await desk.adapters(filter.tenant);
    const { decode } = createDecoder({
      ...decodeRules(config, (await log.bounds(TOPIC.data)).length),
      tenants: await store.tenants(),
      adapterOf: chooserOf(() => adapters),
    });
    const say = sayer();
    const told = await createReplayer({ desk, log, writer }).rehearse(
      filter,
      { ...limitOf(options), decode, signal },
      (looked) => say(`looked at ${looked}`),
    );
    const cannot = await unreplayable(desk, filter);
    console.log(
      options.json
        ? JSON.stringify({ dry_run: true, ...told, cannot })
        : [...rehearsalLines(told), ...cannot.map(cannotLine)].join("\n"),
    );
  } finally {
    release();
    await Promise.all([log.close(), writer.close(), store.close()]);
  }
}

export async function replayLetters(
  config: Config,
  desk: LetterDesk,
  filter: LetterFilter,
  options: ReplayOptions,
): Promise<void> {
  const connection = connect(config);
  const log = createLogInspector(connection);
  const writer = createLogWriter(connection);
  const { signal, release } = interruptible();
  const audit = createActLog(config);
  const run = ulid();
  const subject = `${run}: ${selectionText(filter)}`;
  const say = sayer();
  try {
    const cannot = await unreplayable(desk, filter);
    const replayed = await createReplayer({ desk, log, writer })
      .replay(filter, { ...limitOf(options), run, signal }, ({ appended }) =>
        say(`${appended} on the log again`),
      )
      .catch((error: unknown) => {
        audit("dlq replay", subject, filter.tenant, false);
        throw error;
      });
    if (replayed.appended > 0)
      audit("dlq replay", subject, filter.tenant, true);
    const letters = await settled(desk, filter, run, options.wait, say, signal);
    const facts = { run, ...replayed, letters, cannot };
    if (options.json) console.log(JSON.stringify(facts));
    else {
      console.log(
        `replay ${run}: ${replayed.appended} messages appended; of their letters ${letters.stored} stored, ${letters.open} failed again, ${letters.replaying} on their way`,
      );
      if (replayed.gone > 0)
        console.log(
          `${replayed.gone} are not on the log any more, and cannot be replayed`,
        );
      for (const line of cannot.map(cannotLine)) console.log(line);
    }
    if (letters.replaying > 0) {
      console.error(
        `${letters.replaying} letters were not taken within ${options.wait} s: is a processor running? They are on the log; see what becomes of them with: twinstream dlq list`,
      );
      process.exitCode = 1;
    }
    if (letters.open + replayed.gone > 0) process.exitCode = 1;
  } finally {
    release();
    await Promise.all([log.close(), writer.close()]);
  }
}

/** Waits until the processor has taken all of the run, or nothing has moved for a while. */
async function settled(
  desk: LetterDesk,
  { tenant }: LetterFilter,
  run: string,
  waitS: number,
  say: (line: string) => void,
  signal: AbortSignal,
) {
  let counts = await desk.run(tenant, run);
  let movedMs = Date.now();
  while (counts.replaying > 0 && Date.now() - movedMs < waitS * 1000) {
    await pause(LOOK_MS, undefined, { signal });
    const now = await desk.run(tenant, run);
    if (now.replaying !== counts.replaying) movedMs = Date.now();
    counts = now;
    say(
      `${counts.stored} stored, ${counts.open} failed again, ${counts.replaying} on their way`,
    );
  }
  return counts;
}

interface Cannot {
  readonly letters: number;
  readonly why: string;
}

async function unreplayable(
  desk: LetterDesk,
  filter: LetterFilter,
): Promise<Cannot[]> {
  const cannot: Cannot[] = [];
  for (const { topic, reason, letters } of await desk.tally(filter)) {
    const why = whyNotReplayable(topic, reason);
    if (why !== null) cannot.push({ letters, why: `${reason}: ${why}` });
  }
  return cannot;
}

const cannotLine = ({ letters, why }: Cannot): string =>
  `${letters} cannot be replayed, ${why}`;

function rehearsalLines(told: Rehearsal): string[] {
  const lines = [
    `would be stored: ${told.stored.messages} messages, ${told.stored.points} readings`,
    `would be noted: ${told.noted}`,
  ];
  for (const [reason, messages] of Object.entries(told.failed))
    lines.push(`would fail again: ${messages} ${reason}`);
  if (told.gone > 0) lines.push(`not on the log any more: ${told.gone}`);
  for (const { id, outcome, device, says } of told.samples)
    lines.push(`  letter ${id} of ${device ?? "?"}: ${outcome}: ${says}`);
  lines.push("nothing was written");
  return lines;
}

const limitOf = ({ limit }: ReplayOptions) =>
  limit === undefined ? {} : { limit };

const connect = (config: Config) => commandLogConnection(config, "dlq");

/** The first Ctrl-C ends the replay between two appends; a second one ends the program. */
function interruptible(): { signal: AbortSignal; release: () => void } {
  const stop = new AbortController();
  const onSignal = (): void =>
    stop.abort(
      new Error("interrupted; the same command goes on where it stopped"),
    );
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  return {
    signal: stop.signal,
    release() {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}

function sayer(): (line: string) => void {
  let saidMs = Date.now();
  return (line) => {
    if (Date.now() - saidMs < SAY_MS) return;
    saidMs = Date.now();
    console.error(line);
  };
}
