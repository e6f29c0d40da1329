/** Our own processes die under a small load: the short part of the fault suite. */
import { suite } from "uvu";
import { holdsUnder } from "./short.js";

const test = suite("faults of our own processes");

test("kill -9 of one of two processors loses and doubles nothing, and no offset was ahead of its rows", () =>
  holdsUnder("kill-processors-2"));

test("kill -9 of gateways and workers: every upload and command that was accepted is stored, and ends", () =>
  holdsUnder("kill-gateway-worker"));

test.run();
