/** What holds for every packet source and every command link, the double and the real one alike. */
import { randomUUID } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { DeviceRef } from "../../src/domain/device.js";
import type { CommandRequest } from "../../src/domain/message.js";
import { TwinstreamError } from "../../src/errors.js";
import type {
  CommandLink,
  InboundPacket,
  PacketSource,
} from "../../src/ports.js";
import { until, within } from "../support/wait.js";

export interface SourceGround {
  /** Sources of one client id share a session; all are subscribed to `devices/{name}/data`. */
  readonly source: (clientId: string) => PacketSource;
  /** Of this run alone. */
  readonly name: string;
  /** Publishes to `devices/{name}/data`, in order; resolves once the broker has it. */
  readonly publish: (payload: Buffer | string, qos?: 0 | 1) => Promise<void>;
  /** Ends the source's connection once the broker has what was sent on it; it comes back on its own. */
  readonly cut: () => void;
}

type With<T> = (use: (ground: T) => Promise<void>) => Promise<void>;

const patience = { withinMs: 10_000 };

export function packetSourceSuite(
  name: string,
  withGround: With<SourceGround>,
) {
  const test = suite(`packet source: ${name}`);

  async function withSource(
    use: (
      parts: SourceGround & {
        running: PacketSource;
        got: InboundPacket[];
        clientId: string;
      },
    ) => Promise<void>,
  ): Promise<void> {
    await withGround(async (ground) => {
      const clientId = `source-${randomUUID().slice(0, 8)}`;
      const running = ground.source(clientId);
      const got: InboundPacket[] = [];
      try {
        await within(
          10_000,
          running.start((packet) => got.push(packet)),
          "subscribed",
        );
        await use({ ...ground, running, got, clientId });
      } finally {
        await running.stop();
      }
    });
  }
  const texts = (packets: readonly InboundPacket[]) =>
    packets.map(({ payload }) => payload.toString());

  test("packets arrive with the bytes as they were sent, whatever they are", () =>
    withSource(async ({ name: device, publish, got }) => {
      const sent = [
        Buffer.from('{"a":1}'),
        Buffer.alloc(0),
        Buffer.from([0xff, 0x00, 0xc3, 0x28]),
        Buffer.alloc(2_000_000, 7),
      ];
      for (const payload of sent) await publish(payload);
      await publish("unsure", 0);
      await until(() => got.length === 5, { ...patience, what: "5 packets" });
      for (const [i, payload] of sent.entries())
        assert.ok(got[i]?.payload.equals(payload), `payload ${i}`);
      assert.equal(got[0]?.topic, `devices/${device}/data`);
      assert.equal(
        got.map(({ qos, dup }) => [qos, dup]),
        [1, 1, 1, 1, 0].map((qos) => [qos, false]),
      );
      assert.is(new Set(got.map(({ packetId }) => packetId)).size, 5);
      assert.is(got[4]?.packetId, 0, "QoS 0 has no packet id");
    }));

  test("after a lost connection exactly what was not acknowledged comes again, in order, marked as a duplicate", () =>
    withSource(async ({ running, publish, cut, got }) => {
      for (let i = 0; i < 20; i += 1) await publish(`m${i}`);
      await until(() => got.length === 20, { ...patience, what: "20 packets" });
      const first = got.splice(0);
      running.acknowledge(first.slice(0, 12));
      cut();
      await until(() => got.length >= 8, { ...patience, what: "the rest" });
      assert.equal(texts(got), texts(first.slice(12)));
      assert.ok(got.every(({ dup }) => dup));
      assert.ok(
        got.every(({ connection }) => connection > first[0]!.connection),
      );
    }));

  test("an acknowledgement does not outlive its connection", () =>
    withSource(async ({ running, publish, cut, got }) => {
      await publish("one");
      await until(() => got.length === 1, { ...patience, what: "the packet" });
      const before = got.splice(0);
      cut();
      await until(() => got.length === 1, { ...patience, what: "it again" });
      running.acknowledge(before);
      got.length = 0;
      cut();
      await until(() => got.length === 1, {
        ...patience,
        what: "it, once more",
      });
      assert.equal(texts(got), ["one"]);
    }));

  test("held, nothing is handed over; released, everything is, in order", () =>
    withSource(async ({ running, publish, got }) => {
      await publish("a");
      await until(() => got.length === 1, { ...patience, what: "a" });
      running.hold();
      for (let i = 0; i < 50; i += 1) await publish(`h${i}`);
      assert.is(got.length, 1);
      running.release();
      await until(() => got.length === 51, { ...patience, what: "the others" });
      assert.equal(
        texts(got.slice(1)),
        Array.from({ length: 50 }, (_, i) => `h${i}`),
      );
    }));

  test("holding from within the handler takes effect with the next packet", () =>
    withGround(async (ground) => {
      const source = ground.source(`source-${randomUUID().slice(0, 8)}`);
      const got: string[] = [];
      try {
        await source.start((packet) => {
          got.push(packet.payload.toString());
          source.hold();
        });
        for (let i = 0; i < 5; i += 1) await ground.publish(`p${i}`);
        for (let i = 1; i <= 5; i += 1) {
          await until(() => got.length === i, { ...patience, what: `p${i}` });
          source.release();
        }
        assert.equal(got, ["p0", "p1", "p2", "p3", "p4"]);
      } finally {
        await source.stop();
      }
    }));

  test("a probe comes back after all that the broker held before it, also over a lost connection", () =>
    withSource(async ({ running, publish, cut, got }) => {
      running.hold();
      for (let i = 0; i < 30; i += 1) await publish(`b${i}`);
      running.probe("p");
      running.release();
      await until(() => got.length === 31, { ...patience, what: "31 packets" });
      assert.equal(texts(got), [
        ...Array.from({ length: 30 }, (_, i) => `b${i}`),
        "p",
      ]);
      assert.equal(
        got.filter(({ probe }) => probe).map(({ payload }) => String(payload)),
        ["p"],
      );
      running.acknowledge(got.splice(0, 20));
      got.length = 0;
      cut();
      await until(() => got.length === 11, { ...patience, what: "the rest" });
      assert.is(got.at(-1)?.probe, true);
    }));

  test("the session stays with the broker while the source is away", () =>
    withSource(async ({ running, source, publish, clientId }) => {
      await running.stop();
      assert.not(running.connected());
      for (let i = 0; i < 10; i += 1) await publish(`kept${i}`);
      const again = source(clientId);
      const got: InboundPacket[] = [];
      try {
        await again.start((packet) => got.push(packet));
        await until(() => got.length >= 10, {
          ...patience,
          what: "10 packets",
        });
        assert.equal(
          texts(got),
          Array.from({ length: 10 }, (_, i) => `kept${i}`),
        );
        again.acknowledge(got);
      } finally {
        await again.stop();
      }
    }));

  test.run();
}

export interface LinkGround {
  readonly link: CommandLink;
  /** A device that listens for its commands from now on; answers the `cmd_id`s it gets. */
  readonly listen: (device: DeviceRef) => Promise<string[]>;
  /** Takes the broker away from the link, and gives it back. */
  readonly down: () => Promise<void>;
  readonly up: () => Promise<void>;
}

export function someDevice(
  deviceId = `dev-${randomUUID().slice(0, 8)}`,
): DeviceRef {
  return {
    address: deviceId,
    tenant: "default",
    deviceId,
    site: null,
    equipmentId: 0,
  };
}

export function someCommand(
  nowMs: number,
  extra: Record<string, unknown> = {},
): CommandRequest {
  return {
    cmdId: randomUUID(),
    op: "reset_fault",
    params: { code: 7 },
    by: "ana",
    createdUs: nowMs * 1000,
    expiresUs: (nowMs + 60_000) * 1000,
    queue: false,
    supersedes: null,
    precondition: null,
    extra,
  };
}

export function commandLinkSuite(name: string, withGround: With<LinkGround>) {
  const test = suite(`command link: ${name}`);
  const unreachable = (error: unknown) =>
    error instanceof TwinstreamError && error.code === "BROKER_UNREACHABLE";
  async function refusal(sending: Promise<unknown>): Promise<unknown> {
    return sending.then(
      () => null,
      (error: unknown) => error,
    );
  }

  test("a command to a device that listens is delivered", () =>
    withGround(async ({ link, listen }) => {
      const device = someDevice();
      const inbox = await listen(device);
      const now = Date.now();
      const commands = Array.from({ length: 60 }, () => someCommand(now));
      const answers = await Promise.all(
        commands.map((command) => link.send(device, command, now)),
      );
      assert.ok(answers.every((answer) => answer === "delivered"));
      await until(() => inbox.length === 60, {
        ...patience,
        what: "60 commands",
      });
      assert.equal(
        [...inbox],
        commands.map(({ cmdId }) => cmdId),
      );
    }));

  test("a command to a device that nobody listens for meets no subscriber", () =>
    withGround(async ({ link }) => {
      const now = Date.now();
      assert.is(
        await link.send(someDevice(), someCommand(now), now),
        "no_subscriber",
      );
    }));

  test("a command past its expiry is refused", () =>
    withGround(async ({ link }) => {
      const now = Date.now();
      const error = await refusal(
        link.send(someDevice(), someCommand(now - 120_000), now),
      );
      assert.ok(error instanceof TwinstreamError && !error.canRetry);
    }));

  test("without the broker a command is refused and not sent later", () =>
    withGround(async ({ link, listen, down, up }) => {
      const device = someDevice();
      const inbox = await listen(device);
      await down();
      const now = Date.now();
      assert.ok(
        unreachable(await refusal(link.send(device, someCommand(now), now))),
      );
      await up();
      await until(() => link.connected(), { ...patience, what: "connected" });
      const command = someCommand(now);
      assert.is(await link.send(device, command, now), "delivered");
      await until(() => inbox.length > 0, { ...patience, what: "the command" });
      assert.equal([...inbox], [command.cmdId]);
    }));

  test.run();
}
