import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TOPIC } from "../../src/domain/names.js";
import { tailLog } from "../../src/pipeline/log-tail.js";
import { createMemoryLog } from "../support/memory-log.js";
import { until, within } from "../support/wait.js";

const test = suite("what comes to the log from now on");

const record = (key: string) => ({ key, value: Buffer.from("{}") });

function rig() {
  const log = createMemoryLog({ partitions: 3 });
  const seen: string[] = [];
  let looks = 0;
  const inspector = {
    ...log.inspector,
    bounds(topic: string) {
      looks++;
      return log.inspector.bounds(topic);
    },
  };
  /** Resolves once the log is followed from where it ends now. */
  const begun = () =>
    until(() => looks >= 2, { withinMs: 5000, what: "the first look" });
  return { log, inspector, seen, begun };
}

test("hands over what comes after the call, until there is enough of it", async () => {
  const { log, inspector, seen, begun } = rig();
  await log.writer.append(TOPIC.data, [record("early")]);
  const tail = tailLog(
    inspector,
    ({ key }) => {
      seen.push(String(key));
      return seen.length < 3;
    },
    AbortSignal.timeout(10_000),
  );
  await begun();
  for (const name of ["a", "b", "c", "d", "e"])
    await log.writer.append(TOPIC.data, [record(name)]);
  await within(5000, tail, "the tail to end");
  assert.is(seen.length, 3);
  assert.not(seen.includes("early"));
});

test("ends when it is told to, and passes on what the log throws", async () => {
  const { inspector, seen } = rig();
  const stop = new AbortController();
  const tail = tailLog(inspector, () => true, stop.signal);
  stop.abort();
  await within(5000, tail, "the tail to end");
  assert.equal(seen, []);
  const failing = {
    ...inspector,
    bounds: () => Promise.reject(new Error("the log is away")),
  };
  const outcome = await tailLog(
    failing,
    () => true,
    AbortSignal.timeout(10_000),
  ).catch((error: unknown) => String(error));
  assert.match(String(outcome), "the log is away");
});

test.run();
