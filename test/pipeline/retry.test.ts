import { suite } from "uvu";
import * as assert from "uvu/assert";
import { retryDelays, waitOr } from "../../src/pipeline/retry.js";
import { within } from "../support/wait.js";

const test = suite("retry");

function first(count: number, delays: Generator<number, never>): number[] {
  return Array.from({ length: count }, () => delays.next().value);
}

test("delays grow by the factor up to the greatest, and stay there", () => {
  const steady = { firstMs: 100, maxMs: 1000, factor: 2, jitter: 0 };
  assert.equal(
    first(7, retryDelays(steady)),
    [100, 200, 400, 800, 1000, 1000, 1000],
  );
});

test("jitter shortens a delay by up to its share, never lengthens it", () => {
  const jittery = { firstMs: 100, maxMs: 400, factor: 2, jitter: 0.5 };
  assert.equal(
    first(
      4,
      retryDelays(jittery, () => 0),
    ),
    [100, 200, 400, 400],
  );
  assert.equal(
    first(
      4,
      retryDelays(jittery, () => 0.999999),
    ),
    [50, 100, 200, 200],
  );
});

test("a wait answers true when its time has passed", async () => {
  assert.is(await waitOr(new AbortController().signal, 1), true);
});

test("an abort ends a wait at once", async () => {
  const abort = new AbortController();
  const waiting = waitOr(abort.signal, 600_000);
  abort.abort();
  assert.is(await within(1000, waiting, "the wait to end"), false);
});

test("after an abort nothing is waited for", async () => {
  assert.is(
    await within(1000, waitOr(AbortSignal.abort(), 600_000), "the wait to end"),
    false,
  );
});

test.run();
