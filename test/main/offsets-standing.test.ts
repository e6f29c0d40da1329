/** What `twinstream offsets` compares, while processors go on. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { StoredOffset } from "../../src/adapters/timescale/offsets.js";
import { TOPIC } from "../../src/domain/names.js";
import { storedWithin } from "../../src/main/offsets-standing.js";

const test = suite("offsets standing");

test("an offset that is stored while the list is read does not look as if it lay beyond the log", async () => {
  let end = 100;
  /** Every look takes time, in which ten more records come and are stored. */
  const meanwhile = async <T>(answer: () => T): Promise<T> => {
    const now = answer();
    end += 10;
    return now;
  };
  const [found] = await storedWithin(
    {
      list: () =>
        meanwhile(() => [
          { topic: TOPIC.data, partition: 0, nextOffset: end } as StoredOffset,
        ]),
    },
    { bounds: () => meanwhile(() => [{ low: 0, high: end }]) },
  );
  assert.ok(found!.at.nextOffset <= found!.bounds.high);
});

test.run();
