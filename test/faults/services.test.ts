/** Services die under a small load: the short part of the fault suite. */
import { suite } from "uvu";
import { holdsUnder } from "./short.js";

const test = suite("faults of services");

test("kill -9 of the log loses and doubles nothing, and every 202 is kept", () =>
  holdsUnder("kill-kafka"));

test("Redis that comes back with nothing has last states and history again", () =>
  holdsUnder("redis-empty"));

test.run();
