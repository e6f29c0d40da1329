/** When a processor ends itself, and when it must not. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { withRig } from "../support/pipeline-rig.js";

const test = suite("the watchdog of a processor");

test("a partition that nothing was ever written to is no lack of progress", () =>
  withRig(async (rig) => {
    const running = await rig.start({ settings: { watchdogMs: 100 } });
    // Each tick looks; a hundred of them take well over the watchdog's time.
    await rig.wait(
      "a hundred looks",
      () => running.of("queue").length >= 100 || running.gaveUp !== null,
    );
    assert.is(running.gaveUp, null);
  }));

test.run();
