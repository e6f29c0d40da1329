import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  createCostBook,
  headrooms,
  type Load,
} from "../../src/domain/capacity.js";

const core: Load = {
  part: "processor",
  what: "its core",
  used: 0.25,
  full: 1,
  unit: "cores",
  withRate: true,
  remedy: "start another processor",
};

test("a core that a quarter is used of at 1,000 messages/s is full at 4,000", () => {
  const [first] = headrooms([core], 1000);
  assert.is(first!.share, 0.25);
  assert.is(first!.fullAt, 4000);
});

test("the fullest part comes first, and what does not grow with messages has no rate at which it is full", () => {
  const memory: Load = {
    ...core,
    what: "memory",
    used: 9,
    full: 10,
    withRate: false,
  };
  const [first, second] = headrooms([core, memory], 1000);
  assert.is(first!.what, "memory");
  assert.is(first!.fullAt, null);
  assert.is(second!.what, "its core");
});

test("nothing follows from the CPU of a system that idles, or of a limit of nothing", () => {
  assert.is(headrooms([core], 3)[0]!.fullAt, null);
  assert.is(headrooms([{ ...core, full: 0 }], 1000)[0]!.share, 0);
});

test("the costliest device is the one with the most messages and points, each a second of its stretch of the log", () => {
  const book = createCostBook();
  const of = (address: string, points: number) => ({
    address,
    points,
    bytes: 100,
  });
  book.add([of("talks", 1), of("talks", 1), of("talks", 1), of("calm", 1)], 2);
  book.add([of("wide", 200)], 10);
  const { devices, top } = book.costliest(2);
  assert.is(devices, 3);
  assert.equal(
    top.map(({ device }) => device),
    ["wide", "talks"],
  );
  assert.is(top[0]!.pointsPerSecond, 20);
  assert.is(top[1]!.messagesPerSecond, 1.5);
  assert.is(top[1]!.bytesPerSecond, 150);
  assert.ok(top[0]!.share + top[1]!.share < 1);
});

test("of no device there is nothing to tell", () => {
  assert.equal(createCostBook().costliest(20), { devices: 0, top: [] });
});

test.run();
