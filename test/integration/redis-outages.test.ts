/**
 * The view while its Redis dies, breaks connections, is full, or is not there. Longer than 300 lines: each outage is told whole,
 * from the healthy view through the failure to the healthy view.
 */
import { Redis } from "ioredis";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createDeviceViewReader } from "../../src/adapters/redis/device-view-reader.js";
import { createDeviceView } from "../../src/adapters/redis/device-view.js";
import { TwinstreamError } from "../../src/errors.js";
import type { Clock, DeviceView, ViewWrite } from "../../src/ports.js";
import {
  changeOf,
  lastOf,
  newDevice,
  newTopic,
} from "../conformance/device-view.js";
import { type Service, withOwnStack } from "../support/services.js";
import { until, within } from "../support/wait.js";

const outages = suite("redis: outages");
const MIB = 2 ** 20;

interface Rig {
  readonly view: DeviceView;
  readonly server: Service;
  /** A plain connection, for as long as the server lives. */
  readonly redis: Redis;
  /** How often the view has come back. */
  readonly reconnects: () => number;
}
const withRig = (
  work: (rig: Rig) => Promise<void>,
  clock: Clock = Date.now,
): Promise<void> =>
  withOwnStack(["redis"], async ({ env, services }) => {
    const url = env["REDIS_URL"] ?? "";
    const view = createDeviceView({ url, historySeconds: 18_000, clock });
    const redis = new Redis(url);
    redis.on("error", () => undefined); // it dies with the server
    let reconnects = 0;
    view.onReconnect(() => reconnects++);
    try {
      await work({
        view,
        server: services.redis,
        redis,
        reconnects: () => reconnects,
      });
    } finally {
      redis.disconnect();
      await view.close();
    }
  });

/** One message of each of so many new devices, about `bytes` long. */
function writeOf(devices: number, bytes = 300, nowMs = Date.now()): ViewWrite {
  const payload = "x".repeat(bytes);
  const changes = Array.from({ length: devices }, (_, i) => {
    const device = newDevice();
    const score = nowMs / 1000;
    const member = JSON.stringify({
      device_id: device.deviceId,
      payload,
      timestamp: score,
    });
    return changeOf(device, [], {
      history: [{ score, member }],
      publish: [member],
      last: lastOf(nowMs * 1000, i),
    });
  });
  return { changes, publish: true, mark: null };
}
const devicesOf = (write: ViewWrite) =>
  write.changes.map(({ device }) => device);
const failureOf = async (work: Promise<unknown>): Promise<TwinstreamError> => {
  const error = await within(
    15_000,
    work.then(
      () => null,
      (failure: unknown) => failure,
    ),
    "an answer",
  );
  assert.instance(error, TwinstreamError);
  const failure = error as TwinstreamError;
  assert.is(failure.code, "VIEW_UNREACHABLE");
  assert.ok(failure.canRetry);
  return failure;
};
const succeeds = (work: () => Promise<unknown>) =>
  until(
    () =>
      work().then(
        () => true,
        () => false,
      ),
    { withinMs: 15_000, what: "it works again" },
  );

outages(
  "a killed Redis fails writes at once; restarted, it has what it had answered and the view comes back by itself",
  () =>
    withRig(async ({ view, server, reconnects }) => {
      const topic = newTopic();
      await view.setMark(topic, 0, 0);
      const before = {
        ...writeOf(50),
        mark: { topic, partition: 0, from: 0, to: 50 },
      };
      assert.equal(await view.write(before), { marked: true });
      await server.kill("SIGKILL");
      await failureOf(view.write(writeOf(1)));
      await failureOf(view.ping());
      assert.is(reconnects(), 0);
      await server.start();
      await succeeds(() => view.ping());
      assert.is(reconnects(), 2, "each of its two connections tells it");
      assert.is(await view.mark(topic, 0), 50);
      assert.equal(await view.missingLast(devicesOf(before)), []);
      assert.equal(
        await view.write({
          ...writeOf(1),
          mark: { topic, partition: 0, from: 50, to: 51 },
        }),
        { marked: true },
      );
    }),
);

outages(
  "a connection cut in the middle of a write fails it, and the repeated write completes it",
  () =>
    withRig(async ({ view, redis, reconnects }) => {
      const topic = newTopic();
      await view.setMark(topic, 0, 7);
      const write = {
        ...writeOf(20_000),
        mark: { topic, partition: 0, from: 7, to: 9 },
      };
      const devices = devicesOf(write);
      const id =
        /id=(\d+) .*name=twinstream-view-large /.exec(
          String(await redis.client("LIST")),
        )?.[1] ?? "";
      const written = failureOf(view.write(write));
      await until(async () => (await redis.dbsize()) > 10, {
        withinMs: 10_000,
        what: "the write has begun",
      });
      await redis.client("KILL", "ID", id);
      await written;
      await until(() => reconnects() === 1, {
        withinMs: 10_000,
        what: "the view is back",
      });
      const missing = (await view.missingLast(devices)).length;
      assert.ok(
        missing > 0 && missing < devices.length,
        `${missing} of ${devices.length} missing`,
      );
      assert.is(await view.mark(topic, 0), 7);
      assert.equal(await view.write(write), { marked: true });
      assert.equal(await view.missingLast(devices), []);
      assert.is(await view.mark(topic, 0), 9);
    }),
);

outages(
  "a full Redis pushes back, our memory stays flat, and room lets the writes through",
  () =>
    withRig(async ({ view, redis }) => {
      const used = Number(
        /used_memory:(\d+)/.exec(await redis.info("memory"))?.[1],
      );
      await redis.config("SET", "maxmemory", String(used + 8 * MIB));
      const write = writeOf(100, 10_000);
      const full = await until(
        () =>
          view.write(writeOf(100, 10_000)).then(
            () => null,
            (error: unknown) => error as TwinstreamError,
          ),
        { withinMs: 15_000, what: "Redis is full" },
      );
      assert.is(full.code, "VIEW_UNREACHABLE");
      assert.match(full.message, /OOM/);
      const refused = async (times: number) => {
        for (let i = 0; i < times; i++) await failureOf(view.write(write));
        return process.memoryUsage().rss;
      };
      const early = await refused(50);
      const late = await refused(250);
      assert.ok(
        late - early < 48 * MIB,
        `grew by ${(late - early) / MIB} MiB over 250 MiB refused`,
      );
      await redis.config("SET", "maxmemory", "0");
      await view.write(write);
      assert.equal(await view.missingLast(devicesOf(write)), []);
    }),
);

outages(
  "a Redis that is full of old history gets room by the writes that it refuses",
  async () => {
    let nowMs = Date.now();
    await withRig(
      async ({ view, redis }) => {
        const write = writeOf(100, 10_000, nowMs);
        const device = (i: number) => {
          const change = write.changes[i % 100];
          assert.ok(change);
          return change.device;
        };
        const fill = (times: number) => {
          const member = "y".repeat(10_000);
          return view.write({
            changes: Array.from({ length: 100 }, (_, i) =>
              changeOf(device(i), [], {
                history: [{ score: nowMs / 1000, member: `${member}${times}` }],
              }),
            ),
            publish: true,
            mark: null,
          });
        };
        const used = Number(
          /used_memory:(\d+)/.exec(await redis.info("memory"))?.[1],
        );
        await redis.config("SET", "maxmemory", String(used + 8 * MIB));
        let times = 0;
        await until(
          () =>
            fill(times++).then(
              () => false,
              () => true,
            ),
          { withinMs: 15_000, what: "Redis is full" },
        );
        // Well past the limit: at its edge the buffer of a refused write, once freed, lets some of the next through.
        const full = Number(
          /used_memory:(\d+)/.exec(await redis.info("memory"))?.[1],
        );
        await redis.config("SET", "maxmemory", String(full - 4 * MIB));
        await failureOf(fill(times));
        nowMs += 5 * 3_600_000 + 1_000;
        await succeeds(() => fill(times));
        assert.is(await redis.zcard(`device:history:${device(3).address}`), 1);
      },
      () => nowMs,
    );
  },
);

outages(
  "a demoted Redis is told as such, and the next connection may find the new primary",
  () =>
    withRig(async ({ view, redis, reconnects }) => {
      await view.ping();
      await redis.call("REPLICAOF", "127.0.0.1", "1");
      assert.match(
        (await failureOf(view.write(writeOf(10)))).message,
        /READONLY/,
      );
      await until(() => reconnects() > 0, {
        withinMs: 10_000,
        what: "a new connection",
      });
      await redis.call("REPLICAOF", "NO", "ONE");
      await succeeds(() => view.write(writeOf(10)));
    }),
);

outages(
  "a view made while Redis is down fails at once and works as soon as Redis is there",
  () =>
    withOwnStack(["redis"], async ({ env, services }) => {
      await services.redis.stop();
      const view = createDeviceView({
        url: env["REDIS_URL"] ?? "",
        historySeconds: 18_000,
        clock: Date.now,
      });
      let reconnects = 0;
      view.onReconnect(() => reconnects++);
      try {
        assert.match(
          (await failureOf(view.write(writeOf(1)))).message,
          /ECONNREFUSED/,
        );
        const started = performance.now();
        await failureOf(view.ping());
        assert.ok(performance.now() - started < 100);
        await services.redis.start();
        await succeeds(() => view.write(writeOf(1)));
        assert.is(reconnects, 0);
      } finally {
        await view.close();
      }
    }),
);

outages(
  "a reader does not wait long for a Redis that has stopped answering",
  () =>
    withOwnStack(["redis"], async ({ env, services }) => {
      const reader = createDeviceViewReader({ url: env["REDIS_URL"] ?? "" });
      try {
        await reader.ping();
        const pid = services.redis.pid ?? 0;
        process.kill(pid, "SIGSTOP");
        try {
          await within(
            3_000,
            failureOf(reader.last("dev-1")),
            "the reader gives up",
          );
          await within(
            1_000,
            failureOf(reader.last("dev-1")),
            "it knows by now",
          );
        } finally {
          process.kill(pid, "SIGCONT");
        }
        await succeeds(() => reader.ping());
      } finally {
        await reader.close();
      }
    }),
);

outages.run();
