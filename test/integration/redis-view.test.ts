/** The view's keys as dashboards see them. */
import { Redis } from "ioredis";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createGatherer } from "../../src/adapters/redis/command-buffer.js";
import { connect } from "../../src/adapters/redis/connect.js";
import { createDeviceViewReader } from "../../src/adapters/redis/device-view-reader.js";
import { createDeviceView } from "../../src/adapters/redis/device-view.js";
import { MOVE_MARK } from "../../src/adapters/redis/scripts.js";
import { sendBatch } from "../../src/adapters/redis/send-batch.js";
import { TwinstreamError } from "../../src/errors.js";
import type { DeviceView } from "../../src/ports.js";
import {
  changeOf,
  lastOf,
  newDevice,
  newTopic,
} from "../conformance/device-view.js";
import { withServices } from "../support/services.js";
import { until } from "../support/wait.js";

const keys = suite("redis: keys and connection");

/** A view and a plain connection to the same Redis. */
const withView = (
  historySeconds: number,
  work: (view: DeviceView, redis: Redis, url: string) => Promise<void>,
): Promise<void> =>
  withServices(["redis"], async ({ REDIS_URL: url = "" }) => {
    const view = createDeviceView({ url, historySeconds, clock: Date.now });
    const redis = new Redis(url);
    try {
      await work(view, redis, url);
    } finally {
      redis.disconnect();
      await view.close();
    }
  });
const nowS = (): number => Date.now() / 1000;

keys(
  "the last state is a hash, with tenant and site where they are not the default",
  () =>
    withView(18_000, async (view, redis) => {
      const plain = newDevice();
      const tenants = newDevice("acme", "berlin-1");
      const last = lastOf(1_763_600_000_123_456, 41);
      await view.write({
        changes: [
          changeOf(plain, [], { last }),
          changeOf(tenants, [], { last }),
        ],
        publish: true,
        mark: null,
      });
      const fields = {
        order: "1763600000123456",
        offset: "41",
        payload: last.payload,
        timestamp: "1763600000.123456",
      };
      assert.equal(
        await redis.hgetall(`device:last_state:${plain.deviceId}`),
        fields,
      );
      assert.equal(
        await redis.hgetall(`device:last_state:acme/${tenants.deviceId}`),
        { ...fields, tenant: "acme", site: "berlin-1" },
      );
    }),
);

keys(
  "the history is a sorted set by Unix seconds that expires five hours after the last message",
  () =>
    withView(18_000, async (view, redis) => {
      const device = newDevice();
      const change = changeOf(device, [nowS() - 10]);
      const key = `device:history:${device.deviceId}`;
      await view.write({ changes: [change], publish: true, mark: null });
      const [entry] = change.history;
      const [member, score] = await redis.zrangebyscore(
        key,
        "-inf",
        "+inf",
        "WITHSCORES",
      );
      assert.is(member, entry?.member);
      // As numbers: Redis 7.0 writes 1763600000.123 as 1763600000.1229999.
      assert.is(Number(score), entry?.score);
      assert.ok([17_999, 18_000].includes(await redis.ttl(key)));
      await redis.expire(key, 100);
      await view.write({
        changes: [changeOf(device, [nowS()])],
        publish: true,
        mark: null,
      });
      assert.ok([17_999, 18_000].includes(await redis.ttl(key)));
      await redis.expire(key, 100);
      await view.write({
        changes: [changeOf(device, [], { seenUs: Date.now() * 1000 })],
        publish: true,
        mark: null,
      });
      assert.ok((await redis.ttl(key)) <= 100, "a hello renewed the expiry");
    }),
);

keys(
  "a history whose messages are all too old disappears, and one that gets no more expires",
  () =>
    withView(1, async (view, redis) => {
      const [trimmed, left] = [newDevice(), newDevice()];
      const write = (...changes: ReturnType<typeof changeOf>[]) =>
        view.write({ changes, publish: true, mark: null });
      const at = nowS();
      await write(changeOf(left, [at]));
      const size = () => redis.exists(`device:history:${trimmed.deviceId}`);
      await until(
        async () => {
          await write(changeOf(trimmed, [at]));
          return (await size()) === 0;
        },
        { withinMs: 5_000, what: "the trimmed history disappears" },
      );
      await until(
        async () =>
          (await redis.exists(`device:history:${left.deviceId}`)) === 0,
        {
          withinMs: 5_000,
          what: "the key expires",
        },
      );
    }),
);

keys(
  "the connection has its name, speaks RESP3, and reads scores as numbers",
  () =>
    withView(18_000, async (view, redis) => {
      await view.ping();
      const clients = String(await redis.client("LIST"));
      const mine = clients
        .split("\n")
        .find((line) => line.includes("name=twinstream-view "));
      assert.ok(mine, "no client of that name");
      if (mine.includes(" resp=")) assert.match(mine, / resp=3/);
    }),
);

keys(
  "a large write goes over a connection of its own, a small one does not",
  () =>
    withView(18_000, async (view, redis) => {
      const lastOn = async (name: string): Promise<string | undefined> =>
        / cmd=(\S+)/.exec(
          String(await redis.client("LIST"))
            .split("\n")
            .find((line) => line.includes(`name=${name} `)) ?? "",
        )?.[1];
      const write = (devices: number) =>
        view.write({
          changes: Array.from({ length: devices }, () =>
            changeOf(newDevice(), [nowS()], { seenUs: 1 }),
          ),
          publish: true,
          mark: null,
        });
      await write(1);
      assert.match((await lastOn("twinstream-view")) ?? "none", /^eval/);
      const before = await lastOn("twinstream-view-large");
      assert.not.match(before ?? "none", /^eval/);
      await view.ping();
      await write(1000);
      assert.match((await lastOn("twinstream-view-large")) ?? "none", /^eval/);
      assert.is(await lastOn("twinstream-view"), "ping");
    }),
);

keys("scripts forgotten by Redis between two writes are known again", () =>
  withView(18_000, async (view, redis) => {
    const device = newDevice();
    const write = (offset: number) =>
      view.write({
        changes: [
          changeOf(device, [nowS()], { last: lastOf(1, offset), seenUs: 1 }),
        ],
        publish: true,
        mark: null,
      });
    await write(5);
    await redis.script("FLUSH");
    await write(6);
    await redis.script("FLUSH");
    await write(4);
    assert.is(
      await redis.hget(`device:last_state:${device.deviceId}`, "offset"),
      "6",
    );
  }),
);

keys(
  "scripts forgotten in the middle of a send make it fail as a whole, to be tried again",
  () =>
    withView(18_000, async (_view, _redis, url) => {
      const link = connect({ url, name: "test", silenceMs: 5_000 });
      const key = `twinstream:applied:${newTopic()}:0`;
      const batch = createGatherer()((out) => {
        const call = () => {
          out.script(MOVE_MARK, key, 2);
          out.arg("1");
          out.arg("2");
        };
        call();
        call();
        out.command(2);
        out.arg("SCRIPT");
        out.arg("FLUSH");
        call();
        out.command(2);
        out.arg("PING");
        out.arg("still in step");
      });
      try {
        const error = await link
          .run((redis) => sendBatch(redis, batch))
          .catch((failure: unknown) => failure);
        assert.instance(error, TwinstreamError);
        assert.match((error as Error).message, /NOSCRIPT/);
        assert.ok((error as TwinstreamError).canRetry);
        assert.is(await link.run((redis) => redis.ping("next")), "next");
      } finally {
        await link.close();
      }
    }),
);

keys(
  "of questions asked in the same moment, one that fails harms no other",
  () =>
    withView(18_000, async (view, redis, url) => {
      const well = Array.from({ length: 20 }, () => newDevice());
      const broken = newDevice();
      await view.write({
        changes: well.map((device, n) =>
          changeOf(device, [nowS()], { last: lastOf(1_000_000 * n, n) }),
        ),
        publish: false,
        mark: null,
      });
      await redis.set(`device:last_state:${broken.deviceId}`, "not a hash");
      const reader = createDeviceViewReader({ url });
      try {
        const [failed, lasts, histories] = await Promise.all([
          reader.last(broken.address).catch((failure: unknown) => failure),
          Promise.all(well.map(({ address }) => reader.last(address))),
          Promise.all(
            well.map(({ address }) => reader.history(address, 0, 1e11, 0, 9)),
          ),
        ]);
        assert.instance(failed, TwinstreamError);
        assert.match((failed as Error).message, /WRONGTYPE/);
        assert.equal(
          lasts,
          well.map((_, n) => ({
            payload: lastOf(1_000_000 * n, n).payload,
            timestamp: n,
          })),
        );
        for (const [n, { deviceId }] of well.entries()) {
          assert.is(histories[n]?.length, 1);
          assert.match(histories[n]?.[0] ?? "", `"${deviceId}"`);
        }
      } finally {
        await reader.close();
      }
    }),
);

keys("arguments of every length and alphabet arrive as they are", () =>
  withView(18_000, async (_view, _redis, url) => {
    const link = connect({ url, name: "test", silenceMs: 5_000 });
    const gather = createGatherer();
    const lengths = [9, 10, 63, 64, 65, 99, 100, 999, 1_000, 70_000, 9_000_000];
    const texts = ["", "a", "é", "❄️", "\u0000\r\n$3\r\n", "\ud800"].concat(
      lengths.map((n) => "x".repeat(n)),
      lengths.map((n) => `${"x".repeat(n - 1)}ü`),
    );
    try {
      const batch = gather((out) => {
        for (const text of texts) {
          out.command(2);
          out.arg("ECHO");
          out.arg(text);
        }
      });
      const replies = await link.run((redis) => sendBatch(redis, batch));
      const wrong = texts.filter(
        (text, i) => !Buffer.from(text).equals(replies[i] as Buffer),
      );
      assert.equal(
        wrong.map((text) => text.length),
        [],
      );
    } finally {
      await link.close();
    }
  }),
);

keys.run();
