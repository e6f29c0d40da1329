/** The simulator against a real mosquitto: its ledger says what the broker took, no more and no less. */
import { randomUUID } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  countAttempts,
  countHeard,
  listen,
  runSimulator,
  topicsOf,
} from "../simulator/listener.js";
import { startMqttProxy } from "../support/mqtt-proxy.js";
import { withServices } from "../support/services.js";
import { until, within } from "../support/wait.js";

const simulator = suite("the simulator");
const patience = { withinMs: 20_000 };

/** A broker, and a prefix of device ids that nobody else has. */
const withBroker = (use: (url: string, prefix: string) => Promise<void>) =>
  withServices(["mqtt"], ({ MQTT_URL: url = "" }) =>
    use(url, `s${randomUUID().slice(0, 8)}-`),
  );

for (const connections of [10, 3])
  simulator(
    `a subscriber hears exactly what the ledger says, from ten devices on ${connections} connections`,
    () =>
      withBroker(async (url, prefix) => {
        const listener = await listen(url, topicsOf(prefix));
        const { summary, attempts } = await runSimulator(url, prefix, {
          connections,
          poison: 0.05,
          duplicates: 0.1,
          outOfOrder: 0.2,
        });
        assert.is(summary.sent, 2000);
        assert.is(summary.acked, 2000);
        assert.is(summary.attempts, 2000);
        assert.is(summary.refused + summary.unknown, 0);
        assert.is(summary.noSubscriber, 0);
        assert.is(summary.connections, connections);
        await until(() => listener.heard.length >= 2000, {
          ...patience,
          what: "all messages at the subscriber",
        });
        assert.equal(countHeard(listener.heard), countAttempts(attempts));
        assert.ok(
          attempts.every(
            ({ outcome, tSend, tPuback }) =>
              outcome === "acked" && tPuback !== null && tPuback >= tSend,
          ),
        );
        await listener.close();
      }),
  );

simulator("sends the same bytes again for the same seed and start", () =>
  withBroker(async (url, prefix) => {
    const start = Date.UTC(2025, 10, 20) * 1000;
    const hashes = async (seed: number) => {
      const { attempts } = await runSimulator(url, prefix, { start, seed });
      return countAttempts(attempts);
    };
    const first = await hashes(3);
    assert.equal(await hashes(3), first);
    assert.not.equal(await hashes(4), first);
  }),
);

simulator("says that nobody is subscribed", () =>
  withBroker(async (url, prefix) => {
    const { summary, attempts } = await runSimulator(url, prefix, {
      messages: 50,
    });
    assert.is(summary.acked, 50);
    assert.is(summary.noSubscriber, 50);
    assert.ok(attempts.every(({ code }) => code === 16));
  }),
);

simulator("keeps to the rate that was asked for", () =>
  withBroker(async (url, prefix) => {
    const { summary } = await runSimulator(url, prefix, {
      rate: 500,
      duration: 2,
      messages: 1_000_000,
    });
    assert.is(summary.sent, 1000);
    assert.ok(summary.seconds > 1.9, String(summary.seconds));
  }),
);

simulator("speaks on a tenant's topics, where a hello is the word online", () =>
  withBroker(async (url, prefix) => {
    const listener = await listen(url, [`traksense/${prefix}t/lab/+/+`]);
    const { summary, attempts } = await runSimulator(url, prefix, {
      tenant: `${prefix}t`,
      site: "lab",
      messages: 400,
    });
    await until(() => listener.heard.length >= 400, {
      ...patience,
      what: "all messages at the subscriber",
    });
    const hellos = listener.heard.filter(({ topic }) =>
      topic.endsWith("/state"),
    );
    assert.ok(hellos.every(({ payload }) => payload.toString() === "online"));
    assert.is(hellos.length, summary.sentByClass.hello);
    assert.is(attempts[0]!.dev.split("/")[0], `${prefix}t`);
    await listener.close();
  }),
);

simulator("QoS 0 is unknown, never acked", () =>
  withBroker(async (url, prefix) => {
    const listener = await listen(url, topicsOf(prefix));
    const { summary, attempts } = await runSimulator(url, prefix, { qos: 0 });
    assert.is(summary.acked, 0);
    assert.is(summary.unknown, 2000);
    assert.is(attempts.length, 2000);
    assert.ok(
      attempts.every(
        ({ outcome, tPuback }) => outcome === "unknown" && tPuback === null,
      ),
    );
    await until(() => listener.heard.length >= 2000, {
      ...patience,
      what: "all messages at the subscriber",
    });
    await listener.close();
  }),
);

simulator(
  "sends again what a lost connection left open, and says so in the ledger",
  () =>
    withBroker(async (url, prefix) => {
      const proxy = await startMqttProxy(url);
      const listener = await listen(url, topicsOf(prefix));
      let cuts = 0;
      const cutting = setInterval(() => {
        if (cuts < 3 && listener.heard.length > cuts * 3000 + 500) {
          cuts += 1;
          proxy.cut();
        }
      }, 1);
      try {
        const { summary, attempts } = await runSimulator(proxy.url, prefix, {
          connections: 2,
          messages: 20_000,
        });
        assert.ok(cuts >= 2, `${cuts} cuts: the run was over too soon`);
        assert.is(summary.acked, 20_000);
        assert.ok(summary.connectionsLost >= 2);
        const open = attempts.filter(({ outcome }) => outcome === "unknown");
        assert.ok(open.length > 0, "no message was under way at a cut");
        assert.is(summary.attempts, attempts.length);
        assert.is(attempts.length, 20_000 + open.length);
        const acked = attempts.filter(({ outcome }) => outcome === "acked");
        await until(
          () => {
            const heard = countHeard(listener.heard);
            return [...countAttempts(acked).keys()].every((key) =>
              heard.has(key),
            );
          },
          { ...patience, what: "every acked message at the subscriber" },
        );
        const told = countAttempts(attempts);
        for (const [key, times] of countHeard(listener.heard))
          assert.ok(
            times <= (told.get(key) ?? 0),
            `${key} was heard ${times} times`,
          );
        assertFirstInOrder(listener.heard);
      } finally {
        clearInterval(cutting);
        await listener.close();
        await proxy.close();
      }
    }),
);

/** What is heard of a device for the first time comes in the order in which it was made. */
function assertFirstInOrder(
  heard: readonly { topic: string; payload: Buffer }[],
): void {
  const newest = new Map<string, number>();
  const seen = new Set<string>();
  for (const { topic, payload } of heard) {
    const device = topic.split("/")[1]!;
    const text = payload.toString();
    const seq = Number(
      /"seq","t":"int","v":(\d+)|"seq":(\d+)|1\.2\.3\+\d+\.(\d+)/
        .exec(text)
        ?.slice(1)
        .find((found) => found !== undefined),
    );
    if (seen.has(`${device} ${text}`)) continue;
    seen.add(`${device} ${text}`);
    assert.ok(seq > (newest.get(device) ?? 0), `${device}: ${seq}`);
    newest.set(device, seq);
  }
}

simulator("stops when told, with every answer that was under way", () =>
  withBroker(async (url, prefix) => {
    const listener = await listen(url, topicsOf(prefix));
    const stop = new AbortController();
    const running = runSimulator(
      url,
      prefix,
      { messages: 1e9, rate: 2000 },
      stop.signal,
    );
    await until(() => listener.heard.length > 500, {
      ...patience,
      what: "500 messages",
    });
    stop.abort();
    const { summary, attempts } = await within(10_000, running, "the end");
    assert.is(summary.ended, "stopped");
    assert.is(summary.unknown, 0);
    assert.is(summary.acked, attempts.length);
    await until(() => listener.heard.length >= summary.acked, {
      ...patience,
      what: "all messages at the subscriber",
    });
    assert.equal(countHeard(listener.heard), countAttempts(attempts));
    await listener.close();
  }),
);

simulator.run();
