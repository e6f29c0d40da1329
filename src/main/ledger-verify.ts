/** `twinstream ledger verify` at work: the ranges that were asked for, a few partitions at a time, and the report. */
import { createLogInspector } from "../adapters/kafka/inspector.js";
import { createLedgerStore } from "../adapters/timescale/ledger.js";
import type { Config } from "../config.js";
import {
  adapterFor,
  ADAPTERS,
  chooserOf,
  namesAdapter,
} from "../domain/adapters/registry.js";
import { createDecoder } from "../domain/decode.js";
import { TOPIC } from "../domain/names.js";
import { toIso } from "../domain/time.js";
import { checkRange } from "../pipeline/ledger.js";
import { type LedgerPlan, planRange } from "../pipeline/ledger-plan.js";
import {
  type Difference,
  newTally,
  type Tally,
} from "../pipeline/ledger-tally.js";
import type { LedgerStanding, LogBounds, LogInspector } from "../ports.js";
import { decodeRules } from "./decode-rules.js";
import { commandLogConnection } from "./kafka-log.js";
import type { AskedRange, VerifyOptions } from "./ledger.js";

/** Partitions at a time: while the database looks for one's rows, another's records are decoded. */
const AT_ONCE = 3;
const PROGRESS_MS = 2000;
const TOPICS = [TOPIC.commands, TOPIC.data];

/** Prints the differences as they are found and the report at the end; answers how many differences there were. */
export async function verify(
  config: Config,
  options: VerifyOptions,
): Promise<number> {
  const log = createLogInspector(commandLogConnection(config, "ledger"));
  const store = createLedgerStore({
    url: config.DATABASE_URL,
    connections: AT_ONCE * 2,
  });
  const interrupted = new AbortController();
  const interrupt = (): void =>
    interrupted.abort(new Error("interrupted; what was found stands above"));
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  try {
    const clusterId = await log.clusterId();
    // The stored offsets first: a bound of the log that is read later cannot lie before them.
    const standing = await store.standing(Date.now());
    const plans = await plansOf(log, standing, clusterId, options);
    const tally = newTally();
    const kept: Difference[] = [];
    const progress = createProgress(plans, tally);
    const partitions = await partitionsOf(log);
    const rules = {
      ...decodeRules(config, partitions),
      tenants: standing.tenants,
    };
    const decoder = createDecoder({
      ...rules,
      adapterOf: chooserOf(() => standing.adapters),
    });
    const otherwise = [...ADAPTERS.values()].map(
      (adapter) =>
        createDecoder({
          ...rules,
          adapterOf: (payload) =>
            namesAdapter(payload) ? adapterFor(payload) : adapter,
        }).decode,
    );
    const waiting = plans.filter(({ from, to }) => to > from);
    const work = async (): Promise<void> => {
      for (let plan = waiting.shift(); plan; plan = waiting.shift())
        await checkRange(
          plan,
          {
            log,
            store,
            clusterId,
            standing,
            decode: (topic) =>
              topic === TOPIC.commands ? decoder.decodeCommand : decoder.decode,
            otherwise: plan.topic === TOPIC.data ? otherwise : [],
            tally,
            differ(difference) {
              if (tally.differences > options.limit) return;
              if (options.json) kept.push(difference);
              else console.log(line(difference));
            },
            progress: progress.count,
          },
          interrupted.signal,
        );
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, work));
    } finally {
      progress.end();
    }
    const report = reportOf(plans, tally, progress.read(), progress.seconds());
    console.log(
      options.json
        ? JSON.stringify({ ...report, listed: kept })
        : text(report, options.limit),
    );
    return tally.differences;
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
    await Promise.all([log.close(), store.close()]);
  }
}

async function partitionsOf(log: LogInspector): Promise<number> {
  return (await log.bounds(TOPIC.data)).length;
}

async function plansOf(
  log: LogInspector,
  standing: LedgerStanding,
  clusterId: string,
  options: VerifyOptions,
): Promise<LedgerPlan[]> {
  const bounds = new Map<string, LogBounds[]>();
  for (const topic of TOPICS) bounds.set(topic, await log.bounds(topic));
  const asked: AskedRange[] = [...(options.offsets ?? [])];
  if (options.offsets === undefined)
    for (const topic of TOPICS) {
      const first =
        options.since === undefined
          ? null
          : await log.offsetsAt(topic, options.since);
      for (const partition of bounds.get(topic)!.keys())
        if ((options.partition ?? partition) === partition)
          asked.push({
            topic,
            partition,
            from: first?.[partition] ?? 0,
            to: Infinity,
          });
    }
  if (asked.length === 0)
    throw new Error(`the log has no partition ${options.partition}`);
  return asked.map((range) => {
    const { topic, partition } = range;
    const at = bounds.get(topic)?.[partition];
    if (at === undefined)
      throw new Error(`${topic} has no partition ${partition}`);
    return planRange(range, at, standing, clusterId);
  });
}

/** On stderr, every two seconds: stdout is what was asked for. */
function createProgress(plans: readonly LedgerPlan[], tally: Tally) {
  const began = performance.now();
  const total = plans.reduce((sum, { from, to }) => sum + to - from, 0);
  let done = 0;
  const seconds = (): number => (performance.now() - began) / 1000;
  const timer = setInterval(() => {
    const part = total === 0 ? 100 : Math.floor((100 * done) / total);
    const readings = Math.round(readingsOf(tally) / seconds());
    console.error(
      `${count(done)} of ${count(total)} records (${part} %), ${count(readings)} readings/s, ${count(tally.differences)} differences`,
    );
  }, PROGRESS_MS);
  return {
    count(_range: unknown, records: number) {
      done += records;
    },
    read: () => done,
    seconds,
    end: () => clearInterval(timer),
  };
}

const readingsOf = ({ readings }: Tally): number =>
  Object.values(readings).reduce((sum, n) => sum + n, 0);

function reportOf(
  plans: readonly LedgerPlan[],
  tally: Tally,
  read: number,
  seconds: number,
) {
  const sum = (of: (plan: LedgerPlan) => number): number =>
    plans.reduce((total, plan) => total + of(plan), 0);
  return {
    at: toIso(Date.now() * 1000),
    partitions: plans.length,
    checked: read,
    records: {
      ...tally.records,
      in_flight: sum(({ inFlight }) => inFlight),
      lost_to_retention: sum(({ lost }) => lost),
      gone_from_log: sum(({ gone }) => gone),
      empty_offsets: sum(({ from, to }) => to - from) - read,
    },
    dead_letters: Object.fromEntries(tally.deadLetters),
    readings: tally.readings,
    unproven_duplicates: tally.unproven,
    seconds: Math.round(seconds * 100) / 100,
    readings_per_second: Math.round(readingsOf(tally) / seconds),
    differences: tally.differences,
  };
}

function text(report: ReturnType<typeof reportOf>, limit: number): string {
  const { records, dead_letters, differences, unproven_duplicates } = report;
  const reasons = Object.entries(dead_letters)
    .map(([reason, n]) => `${reason} ${count(n)}`)
    .join(", ");
  const parts = (of: Readonly<Record<string, number>>): string =>
    Object.entries(of)
      .filter(([name, n]) => n > 0 || name === "stored")
      .map(([name, n]) => `${name.replaceAll("_", " ")} ${count(n)}`)
      .join(", ");
  const lines = [
    `${count(report.checked)} records of ${report.partitions} partitions in ${report.seconds} s (${count(report.readings_per_second)} readings/s)`,
    `records:  ${parts(records)}`,
    ...(reasons === "" ? [] : [`dead letters: ${reasons}`]),
    `readings: ${parts(report.readings)}`,
  ];
  if (unproven_duplicates > 0)
    lines.push(
      `${count(unproven_duplicates)} messages are duplicates by the broker's flag alone: what they repeat lies outside of the range`,
    );
  if (records.lost_to_retention > 0)
    lines.push(
      `${count(records.lost_to_retention)} records were gone from the log before a processor read them`,
    );
  if (differences > limit)
    lines.push(`the first ${count(limit)} differences are printed (--limit)`);
  lines.push(`${count(differences)} differences`);
  return lines.join("\n");
}

const line = ({
  topic,
  partition,
  offset,
  item,
  kind,
  detail,
}: Difference): string =>
  `${topic}/${partition}@${offset}${item < 0 ? "" : ` point ${item}`}: ${kind}: ${detail}`;

const count = (n: number): string => n.toLocaleString("en");
