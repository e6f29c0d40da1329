import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import { createPatience } from "../../src/pipeline/patience.js";
import { follow } from "../../src/pipeline/follow.js";
import { listening } from "../support/messages.js";
import { until, within } from "../support/wait.js";

const test = suite("patience");
const redis = () => new TwinstreamError("VIEW_UNREACHABLE", "redis is away");
const database = () =>
  new TwinstreamError("STORE_UNREACHABLE", "the database is away");

function patience(backoff = { firstMs: 1, maxMs: 2, factor: 2, jitter: 0 }) {
  const observer = listening();
  const ending = new AbortController();
  const said: (string | null)[] = [];
  let nowMs = 1000;
  const patiently = createPatience({
    partition: 3,
    signal: ending.signal,
    observer,
    clock: () => (nowMs += 500),
    backoff,
    waiting: (on) => said.push(on === null ? null : `${on.on}: ${on.error}`),
  });
  return { patiently, observer, ending, said };
}

/** Work that fails with these in turn, then answers. */
function failing(...errors: Error[]): () => Promise<string> {
  return async () => {
    const error = errors.shift();
    if (error !== undefined) throw error;
    return "done";
  };
}

test("work that goes well is done once, and nothing is said", async () => {
  const { patiently, observer, said } = patience();
  assert.is(await patiently(failing()), "done");
  assert.equal(said, []);
  assert.equal(observer.events, []);
});

test("it says what it waits for, and that it is there again", async () => {
  const { patiently, observer, said } = patience();
  assert.is(await patiently(failing(redis(), redis())), "done");
  assert.is(said[0], "redis: redis is away");
  assert.is(said.at(-1), null);
  const types = observer.events.map(({ type }) => type);
  assert.equal(types, ["lane_waiting", "lane_waiting", "lane_resumed"]);
  const resumed = observer.events.at(-1);
  assert.ok(resumed?.type === "lane_resumed");
  assert.is(resumed.on, "redis");
  assert.is(resumed.partition, 3);
  assert.ok(resumed.seconds > 0);
});

test("work that waits for one store and then for another says so, and that the first answered", async () => {
  const { patiently, observer, said } = patience();
  await patiently(failing(database(), redis()));
  assert.equal(said, [
    "database: the database is away",
    "redis: redis is away",
    null,
  ]);
  assert.equal(
    observer.events.map((event) => [event.type, "on" in event && event.on]),
    [
      ["lane_waiting", "database"],
      ["lane_resumed", "database"],
      ["lane_waiting", "redis"],
      ["lane_resumed", "redis"],
    ],
  );
});

test("while two works wait, one that is done does not hide the other", async () => {
  const { patiently, said, observer } = patience();
  let back = false;
  const waiting = patiently(async () => {
    if (!back) throw database();
  });
  await patiently(failing(redis()));
  assert.is(said.at(-1), "database: the database is away");
  back = true;
  await within(1000, waiting, "the database");
  assert.is(said.at(-1), null);
  assert.is(observer.events.filter((e) => e.type === "lane_resumed").length, 2);
});

test("an error that will not pass goes through, and nothing is waited for any more", async () => {
  const { patiently, said } = patience();
  const error = new TwinstreamError("STORE_REFUSED", "no");
  const outcome = await patiently(failing(database(), error)).catch(
    (thrown: unknown) => thrown,
  );
  assert.is(outcome, error);
  assert.is(said.at(-1), null);
});

test("the end of the lane ends the wait with the last error", async () => {
  const { patiently, ending, said } = patience({
    firstMs: 60_000,
    maxMs: 60_000,
    factor: 1,
    jitter: 0,
  });
  const error = redis();
  const waiting = patiently(failing(error)).catch((thrown: unknown) => thrown);
  await until(() => said.length > 0, { withinMs: 1000, what: "a wait" });
  ending.abort();
  assert.is(await within(1000, waiting, "the wait to end"), error);
  assert.is(said.at(-1), null);
});

test("a database without the schema is waited for: someone may be migrating it", async () => {
  const { patiently, said } = patience();
  await patiently(
    failing(new TwinstreamError("STORE_NOT_MIGRATED", "no schema")),
  );
  assert.is(said[0], "database: no schema");
});

test.run();

const following = suite("what is followed");

following(
  "it is looked up again, and a failure leaves what was known",
  async () => {
    const observer = listening();
    let answer: () => Promise<ReadonlySet<string>> = async () =>
      new Set(["default"]);
    const tenants = follow(
      "tenants",
      () => answer(),
      new Set<string>(),
      observer,
      2,
    );
    try {
      await tenants.start();
      assert.equal([...tenants.current()], ["default"]);
      answer = async () => new Set(["default", "acme"]);
      await until(() => tenants.current().has("acme"), {
        withinMs: 1000,
        what: "the new tenant",
      });
      answer = () => Promise.reject(new Error("away"));
      await until(() => observer.events.length > 0, {
        withinMs: 1000,
        what: "a failure to be told",
      });
      assert.is(tenants.current().has("acme"), true);
      assert.is(observer.events[0]?.type, "failure");
    } finally {
      tenants.stop();
    }
  },
);

following("a first look-up that fails is the caller's to repeat", async () => {
  const tenants = follow(
    "tenants",
    () => Promise.reject(database()),
    null,
    listening(),
    2,
  );
  const outcome = await tenants.start().catch((thrown: unknown) => thrown);
  tenants.stop();
  assert.match(String(outcome), "the database is away");
});

following.run();
