/** What cannot be stored is kept: a row of ingest_errors and a record on the dead-letter topic for each. */
import { TOPIC } from "../../domain/names.js";
import type { LogBounds } from "../../ports.js";
import type { Seen } from "./checks.js";
import type { Ground } from "./ground.js";
import { message, POINTS_A_MESSAGE } from "./sample.js";
import { NotSo, until, within } from "./wait.js";

/** Payload and the reason it must be kept for. */
const BAD: readonly (readonly [payload: string, reason: string])[] = [
  ['{"schema":"v1","ts":', "parse_error"],
  ["[1, 2, 3]", "invalid_schema"],
  [
    '{"schema":"v1","ts":"2025-01-01T00:00:00Z","points":[{"name":"a","t":"int","v":"seven"}]}',
    "invalid_schema",
  ],
  ['{"schema":"never_heard_of","ts":"2025-01-01T00:00:00Z"}', "unknown_schema"],
];

export async function badPayloadsAreKept(
  ground: Ground,
  signal: AbortSignal,
): Promise<Seen> {
  const { store, tenant, log } = ground;
  const before = await within(
    signal,
    `the bounds of ${TOPIC.dataDeadLetters}`,
    log.bounds(TOPIC.dataDeadLetters),
  );
  const device = ground.device("dead-letters");
  const line = await ground.line();
  device.settled = false;
  const firstMs = Date.now() - BAD.length;
  for (const [seq, [payload]] of BAD.entries()) {
    await line.publish(device.topic("data"), payload);
    await line.publish(device.topic("data"), message(seq, firstMs + seq));
  }
  let rows = 0;
  const expected = BAD.length * POINTS_A_MESSAGE;
  const letters = await until(
    signal,
    () =>
      `${BAD.length} rows of ${device.id} in ingest_errors, and ${expected} in ts_measure (${rows}) of the messages between them`,
    async () => {
      rows = await store.countReadings(tenant, [device.id]);
      const kept = await store.letters(tenant, device.id);
      return kept.length >= BAD.length && rows >= expected && kept;
    },
  );
  device.settled = true;
  const reasons = letters.map(({ reason }) => reason).join(", ");
  const wanted = BAD.map(([, reason]) => reason).join(", ");
  if (reasons !== wanted)
    throw new NotSo(`ingest_errors has the reasons ${reasons}, not ${wanted}`);
  const records = await lettersOnTheLog(ground, signal, device.address, before);
  const places = letters.map(
    ({ reason, partition, offset }) => `${reason} of ${partition}/${offset}`,
  );
  for (const place of places)
    if (!records.includes(place))
      throw new NotSo(`${TOPIC.dataDeadLetters} has no record for ${place}`);
  return {
    found: `${BAD.length} kept with their reasons in ingest_errors and on ${TOPIC.dataDeadLetters}; the ${BAD.length} messages between them are stored`,
    figures: { dead_letters: BAD.length },
  };
}

async function lettersOnTheLog(
  { log }: Ground,
  signal: AbortSignal,
  key: string,
  before: readonly LogBounds[],
): Promise<string[]> {
  const found: string[] = [];
  const topic = TOPIC.dataDeadLetters;
  const now = await log.bounds(topic);
  for (const [partition, { high }] of now.entries())
    await log.read(
      { topic, partition, from: before[partition]?.high ?? 0, to: high },
      async (records) => {
        for (const { key: its, headers } of records)
          if (String(its) === key)
            found.push(
              `${headers["reason"]} of ${headers["source-partition"]}/${headers["source-offset"]}`,
            );
      },
      signal,
    );
  return found;
}
