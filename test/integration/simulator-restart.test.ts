/** A broker that goes away: what the ledger calls acked has reached it, and nothing waits for ever. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import {
  countAttempts,
  countHeard,
  listen,
  runSimulator,
  topicsOf,
} from "../simulator/listener.js";
import { withOwnStack } from "../support/services.js";
import { until, within } from "../support/wait.js";

const restarts = suite("the simulator while its broker goes away");
const patience = { withinMs: 30_000 };

restarts(
  "a broker stopped and started again in the middle has all that is acked",
  () =>
    withOwnStack(["mqtt"], async ({ env, services }) => {
      const url = env["MQTT_URL"] ?? "";
      const listener = await listen(url, topicsOf("r-"));
      const running = runSimulator(url, "r-", {
        connections: 10,
        rate: 3000,
        messages: 15_000,
        duplicates: 0.05,
      });
      await until(() => listener.heard.length > 3000, {
        ...patience,
        what: "a part of the messages",
      });
      await services.mqtt.stop();
      await services.mqtt.start();
      const { summary, attempts } = await within(60_000, running, "the end");
      assert.is(summary.acked, 15_000);
      assert.ok(summary.connectionsLost >= 10);
      assert.ok(summary.behindMs > 0);
      const acked = countAttempts(
        attempts.filter(({ outcome }) => outcome === "acked"),
      );
      const heardAll = () => {
        const heard = countHeard(listener.heard);
        return [...acked].every(
          ([key, times]) => (heard.get(key) ?? 0) >= times,
        );
      };
      await until(heardAll, {
        ...patience,
        what: "every acked message at the subscriber",
      });
      const told = countAttempts(attempts);
      for (const key of countHeard(listener.heard).keys())
        assert.ok(told.has(key), `${key} was never sent`);
      await listener.close();
    }),
);

restarts(
  "what got no answer before the end is unknown, once for each attempt",
  () =>
    withOwnStack(["mqtt"], async ({ env, services }) => {
      const url = env["MQTT_URL"] ?? "";
      const listener = await listen(url, topicsOf("u-"));
      const stop = new AbortController();
      const running = runSimulator(
        url,
        "u-",
        { connections: 2, messages: 1e9, drain: 1 },
        stop.signal,
      );
      await until(() => listener.heard.length > 1000, {
        ...patience,
        what: "a part of the messages",
      });
      // Frozen first: once nothing more is heard, what is on its way stays without an answer.
      await services.mqtt.kill("SIGSTOP");
      let heard = -1;
      await until(
        () => {
          const before = heard;
          heard = listener.heard.length;
          return heard === before;
        },
        { ...patience, everyMs: 200, what: "nothing more to be heard" },
      );
      await services.mqtt.kill();
      stop.abort();
      const { summary, attempts } = await within(15_000, running, "the end");
      assert.is(summary.ended, "stopped");
      assert.ok(summary.unknown > 0);
      assert.is(summary.sent, summary.acked + summary.unknown);
      assert.is(
        attempts.filter(({ outcome }) => outcome === "unknown").length,
        summary.unknown,
      );
      await services.mqtt.start();
      await listener.close();
    }),
);

restarts("a broker that is not there is said at once", async () => {
  let failure: unknown = null;
  await within(
    5000,
    runSimulator("mqtt://127.0.0.1:1", "n-").catch((error: unknown) => {
      failure = error;
    }),
    "an answer",
  );
  assert.ok(failure instanceof TwinstreamError);
  assert.is(failure.code, "BROKER_UNREACHABLE");
  assert.match(failure.message, /ECONNREFUSED/);
});

restarts.run();
