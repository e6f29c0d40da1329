/** The bridge between an in-memory broker and a log whose every append the test answers. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { HEADER } from "../../src/domain/message.js";
import { TwinstreamError } from "../../src/errors.js";
import { APPEND_BYTES, APPEND_RECORDS } from "../../src/pipeline/bridge.js";
import type { OutgoingRecord } from "../../src/ports.js";
import { until, within } from "../support/wait.js";
import { ID, patience, withBridge } from "./bridge-ground.js";

const test = suite("bridge");

const payloads = (records: readonly OutgoingRecord[]) =>
  records.map(
    ({ value }) =>
      (JSON.parse(String(value)) as { payload: { n: number } }).payload.n,
  );
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => from + i);
const unreachable = () => new TwinstreamError("LOG_UNREACHABLE");

test("a message is acknowledged only after the log has it", () =>
  withBridge(async ({ broker, publish, waiting, accept }) => {
    publish("d1", '{"n":1}');
    await until(() => waiting.length === 1, { ...patience, what: "an append" });
    assert.is(broker.unacknowledged(ID), 1);
    const [record] = await accept();
    await until(() => broker.unacknowledged(ID) === 0, {
      ...patience,
      what: "the PUBACK",
    });
    assert.is(record?.key, "d1");
    assert.is(record?.headers?.[HEADER.bridge], ID);
    assert.is(record?.headers?.[HEADER.packet], "1");
    assert.is(record?.headers?.[HEADER.dup], undefined);
  }));

test("messages reach the log and are acknowledged in the order of arrival, one append at a time", () =>
  withBridge(async ({ publish, waiting, accept, stored, acknowledged }) => {
    for (const n of numbers(0, 50)) publish(`d${n % 3}`, `{"n":${n}}`);
    await until(() => waiting.length === 1, { ...patience, what: "an append" });
    for (const n of numbers(50, 90)) publish(`d${n % 3}`, `{"n":${n}}`);
    assert.is(waiting.length, 1, "the second append waits for the first");
    while (stored.length < 90) {
      await accept();
      assert.ok(waiting.length === 0);
    }
    assert.equal(payloads(stored), numbers(0, 90));
    await until(() => acknowledged.length === 90, {
      ...patience,
      what: "90 PUBACKs",
    });
    assert.equal(
      acknowledged.map(({ packetId }) => packetId),
      numbers(1, 91),
    );
  }));

test("a full window holds the source, and room in it lets the rest through", () =>
  withBridge(
    async ({ broker, publish, waiting, accept, stored, events }) => {
      for (const n of numbers(0, 25)) publish("d1", `{"n":${n}}`);
      await until(() => waiting.length === 1, {
        ...patience,
        what: "an append",
      });
      assert.is(waiting[0]?.records.length, 10);
      assert.ok(
        events.some((event) => event.type === "bridge_window" && event.held),
      );
      while (stored.length < 25) {
        const records = await accept();
        assert.ok(records.length <= 10);
      }
      assert.equal(payloads(stored), numbers(0, 25));
      await until(() => broker.unacknowledged(ID) === 0, {
        ...patience,
        what: "all PUBACKs",
      });
    },
    { window: 10 },
  ));

test("the window counts bytes too, and one message may pass it", () =>
  withBridge(
    async ({ publish, waiting, accept, stored }) => {
      const big = "x".repeat(600);
      for (const n of numbers(0, 6)) publish("d1", `{"n":${n},"x":"${big}"}`);
      await until(() => waiting.length === 1, {
        ...patience,
        what: "an append",
      });
      assert.is(waiting[0]?.records.length, 2);
      while (stored.length < 6) await accept();
      assert.equal(payloads(stored), numbers(0, 6));
    },
    { windowBytes: 1000 },
  ));

test("an append carries about 900 kB; a larger message goes alone", () =>
  withBridge(
    async ({ publish, accept, waiting, stored }) => {
      const large = "x".repeat(2_000_000);
      const third = "y".repeat(APPEND_BYTES / 3);
      const sizes = ["", large, third, third, third, third, ""];
      for (const [n, x] of sizes.entries())
        publish("d1", JSON.stringify({ n, x }));
      const appends: number[][] = [];
      while (stored.length < sizes.length)
        appends.push(payloads(await accept()));
      assert.is(waiting.length, 0);
      assert.equal(appends, [[0], [1], [2, 3], [4, 5, 6]]);
    },
    { windowBytes: 10_000_000 },
  ));

test("many tiny messages are appended 2,000 at a time", () =>
  withBridge(
    async ({ publish, accept, stored }) => {
      for (const n of numbers(0, 4500)) publish("d1", `{"n":${n}}`);
      const sizes: number[] = [];
      while (stored.length < 4500) sizes.push((await accept()).length);
      assert.equal(sizes, [APPEND_RECORDS, APPEND_RECORDS, 500]);
    },
    { window: 5000 },
  ));

test("while the log is away the same records are tried again; nothing is acknowledged early and nothing is lost", () =>
  withBridge(
    async ({ broker, publish, refuse, accept, stored, events }) => {
      for (const n of numbers(0, 30)) publish("d1", `{"n":${n}}`);
      const first = await refuse(unreachable());
      for (let i = 0; i < 4; i += 1)
        assert.equal(await refuse(unreachable()), first);
      assert.is(broker.unacknowledged(ID), 30);
      assert.is(
        events.filter(({ type }) => type === "bridge_waiting").length,
        5,
      );
      while (stored.length < 30) await accept();
      assert.equal(payloads(stored), numbers(0, 30));
      await until(() => broker.unacknowledged(ID) === 0, {
        ...patience,
        what: "all PUBACKs",
      });
    },
    { window: 10 },
  ));

test("a message that the topic refuses for its size travels as too_large, and its neighbours as they are", () =>
  withBridge(
    async ({ publish, waiting, accept, refuse, acknowledged }) => {
      for (const n of numbers(0, 5)) publish("d1", `{"n":${n}}`);
      const all = await refuse(
        new TwinstreamError("TOO_LARGE", "no", { cause: { index: 2 } }),
      );
      assert.is(all.length, 5);
      const rest = await accept();
      assert.is(rest.length, 3, "the first two were stored before the refusal");
      const envelope = JSON.parse(String(rest[0]?.value)) as {
        too_large?: { size: number };
      };
      assert.is(envelope.too_large?.size, '{"n":2}'.length);
      assert.equal(payloads(rest.slice(1)), [3, 4]);
      await until(() => acknowledged.length === 5, {
        ...patience,
        what: "5 PUBACKs",
      });
      assert.is(waiting.length, 0);
    },
    { window: 5 },
  ));

test("after a reconnect the broker's redelivery is acknowledged, not what came before it", () =>
  withBridge(async ({ broker, publish, waiting, accept, stored, source }) => {
    publish("d1", '{"n":1}');
    await until(() => waiting.length === 1, { ...patience, what: "an append" });
    broker.cut();
    await until(() => source.connected(), { ...patience, what: "connected" });
    await accept();
    assert.is(broker.unacknowledged(ID), 1, "the stale PUBACK was dropped");
    const [again] = await accept();
    assert.is(again?.headers?.[HEADER.dup], "1");
    await until(() => broker.unacknowledged(ID) === 0, {
      ...patience,
      what: "the PUBACK of the redelivery",
    });
    assert.equal(payloads(stored), [1, 1]);
  }));

test("QoS 0 messages take the same road and need no acknowledgement", () =>
  withBridge(async ({ publish, accept }) => {
    publish("d1", '{"n":5}', 0);
    const [record] = await accept();
    assert.is(record?.headers?.[HEADER.packet], undefined);
  }));

test("a topic that is none of a device travels as bad_topic under the topic as it came", () =>
  withBridge(async ({ broker, accept }) => {
    broker.publish("devices/a b/data", '{"n":1}');
    const [record] = await accept();
    assert.is(record?.key, "devices/a b/data");
    const envelope = JSON.parse(String(record?.value)) as Record<
      string,
      unknown
    >;
    assert.is(envelope.kind, "bad_topic");
    assert.is(envelope.topic, "devices/a b/data");
  }));

test("stopping waits for what is under way, and takes nothing more", () =>
  withBridge(async ({ bridge, broker, publish, waiting, accept, stored }) => {
    publish("d1", '{"n":1}');
    await until(() => waiting.length === 1, { ...patience, what: "an append" });
    publish("d1", '{"n":2}');
    const stopping = bridge.stop(2000);
    publish("d1", '{"n":3}');
    await accept();
    await accept();
    assert.is(await within(1000, stopping, "the stop"), 0);
    assert.equal(payloads(stored), [1, 2]);
    assert.is(broker.unacknowledged(ID), 1, "the third stays with the broker");
  }));

test("stopping past its deadline leaves the rest to the broker, and a late answer of the log changes nothing", () =>
  withBridge(async ({ bridge, broker, publish, waiting, accept, appends }) => {
    publish("d1", '{"n":1}');
    await until(() => waiting.length === 1, { ...patience, what: "an append" });
    assert.is(await within(1000, bridge.stop(5), "the stop"), 1);
    await accept();
    assert.is(broker.unacknowledged(ID), 1);
    assert.is(appends(), 1);
  }));

test("stopping while the log is away gives up the wait", () =>
  withBridge(
    async ({ bridge, broker, publish, refuse }) => {
      publish("d1", '{"n":1}');
      await refuse(unreachable());
      assert.is(await within(1000, bridge.stop(5), "the stop"), 1);
      assert.is(broker.unacknowledged(ID), 1);
    },
    { backoff: { firstMs: 600_000, maxMs: 600_000, factor: 1, jitter: 0 } },
  ));

test("events are one per append, not one per message", () =>
  withBridge(async ({ publish, accept, events, stored }) => {
    for (const n of numbers(0, 60)) publish("d1", `{"n":${n}}`);
    let appends = 0;
    while (stored.length < 60) {
      await accept();
      appends += 1;
    }
    await until(
      () => events.filter(({ type }) => type === "bridge_batch").length > 0,
      { ...patience, what: "an event" },
    );
    assert.ok(events.length <= 2 * appends, `${events.length} events`);
  }));

test("a probe becomes no record, and is told once everything before it is on the log", async () => {
  const told: string[] = [];
  await withBridge(
    async ({ source, publish, accept, waiting, acknowledged, events }) => {
      publish("d1", '{"n":1}');
      source.probe("one");
      source.probe("two");
      publish("d1", '{"n":2}');
      await until(() => waiting.length === 1, { ...patience, what: "append" });
      assert.equal(told, []);
      assert.equal(payloads(await accept()), [1, 2]);
      await until(() => acknowledged.length === 4, {
        ...patience,
        what: "all PUBACKs, in the order of arrival",
      });
      assert.equal(
        acknowledged.map(({ packetId }) => packetId),
        [1, 2, 3, 4],
      );
      assert.equal(told, ["two"], "the latest says it all");
      source.probe("alone");
      await until(() => told.length === 2, { ...patience, what: "the probe" });
      assert.is(waiting.length, 0);
      const counted = events.flatMap((event) =>
        event.type === "bridge_batch" ? [event.messages] : [],
      );
      assert.equal(counted, [2]);
    },
    {},
    (text) => told.push(text),
  );
});

test("while the log refuses a record that is too large, the one behind a probe is still told apart", () =>
  withBridge(async ({ source, publish, accept, refuse, stored }) => {
    source.probe("before");
    publish("d1", '{"n":1}');
    source.probe("between");
    publish("d1", '{"n":2}');
    await refuse(
      new TwinstreamError("TOO_LARGE", "no", { cause: { index: 1 } }),
    );
    await accept();
    const [left] = stored;
    assert.match(String(left?.value), '"too_large"');
    assert.match(
      String(left?.value),
      Buffer.from('{"n":2}').toString("base64"),
    );
  }));

test("what the broker had kept is marked so", () =>
  withBridge(async ({ broker, accept }) => {
    broker.publish("devices/d1/hello", "", 1, true);
    broker.publish("devices/d1/hello", "");
    const records = await accept();
    assert.equal(
      records.map(({ headers }) => headers?.[HEADER.retained]),
      ["1", undefined],
    );
  }));

test.run();
