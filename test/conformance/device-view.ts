/**
 * What every DeviceView and its DeviceViewReader do, in memory or in Redis. Longer than 300 lines: one port, one suite.
 */
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { fullMessage } from "../../src/domain/envelope.js";
import { isLater } from "../../src/domain/decide.js";
import type {
  DeviceRef,
  LastState,
  ViewChange,
} from "../../src/domain/device.js";
import {
  address,
  PRESENCE_CHANNEL,
  TOPIC,
  updatesChannel,
} from "../../src/domain/names.js";
import { toIso, toSeconds } from "../../src/domain/time.js";
import type { Clock, DeviceView, DeviceViewReader } from "../../src/ports.js";
import type { Published } from "../support/memory-view.js";

export interface ViewUnderTest {
  readonly view: DeviceView;
  readonly reader: DeviceViewReader;
  /** Everything published so far, oldest first; others may publish too. */
  published(): Promise<readonly Published[]>;
}

export const RULES = { historySeconds: 18_000, offlineAfterSeconds: 60 };
const NOW_MS = 1_763_600_000_123;
const NOW_S = NOW_MS / 1000;
const NOW_US = NOW_MS * 1000;

/** A device that no other test has. */
export function newDevice(
  tenant = "default",
  site: string | null = null,
): DeviceRef {
  const deviceId = `dev-${randomBytes(6).toString("hex")}`;
  return {
    address: address(tenant, deviceId),
    tenant,
    deviceId,
    site,
    equipmentId: 0,
  };
}
const newTenant = (): string => `tenant-${randomBytes(6).toString("hex")}`;
export const newTopic = (): string => `topic-${randomBytes(6).toString("hex")}`;

/** What one message at a time (Unix seconds) does to the view. */
export function changeOf(
  device: DeviceRef,
  timesS: readonly number[],
  with_: Partial<ViewChange> = {},
): ViewChange {
  const history = timesS.map((score) => ({
    score,
    member: JSON.stringify({
      device_id: device.deviceId,
      payload: { text: "7.3 °C ❄" },
      timestamp: score,
    }),
  }));
  return {
    device,
    history,
    publish: history.map(({ member }) => member),
    last: null,
    seenUs: 0,
    gone: null,
    ...with_,
  };
}
export const lastOf = (orderUs: number, offset: number): LastState => ({
  orderUs,
  offset,
  timeUs: orderUs,
  payload: JSON.stringify({ order: orderUs, offset, ünï: '\u0001"' }),
});

/** Makes the suite; `withView` gives a fresh view under RULES and closes it afterwards. */
export function deviceViewSuite(
  name: string,
  withView: (
    clock: Clock,
    work: (under: ViewUnderTest) => Promise<void>,
  ) => Promise<void>,
): { run(): void } {
  const test = suite(`device view: ${name}`);
  const withNow = (work: (under: ViewUnderTest) => Promise<void>) => () =>
    withView(() => NOW_MS, work);
  const write = (view: DeviceView, ...changes: ViewChange[]) =>
    view.write({ changes, publish: true, mark: null });
  const textsOf = async (
    under: ViewUnderTest,
    channel: string,
  ): Promise<string[]> =>
    (await under.published())
      .filter((each) => each.channel === channel)
      .map(({ text }) => text);
  const presenceOf = async (
    under: ViewUnderTest,
    { deviceId }: DeviceRef,
  ): Promise<unknown[]> =>
    (await textsOf(under, PRESENCE_CHANNEL))
      .map((text) => JSON.parse(text) as { device_id: string })
      .filter((each) => each.device_id === deviceId);

  test(
    "a message enters history, is published as it is, and its device has a last state",
    withNow(async (under) => {
      const device = newDevice();
      const change = changeOf(device, [NOW_S - 2, NOW_S - 1], {
        last: lastOf(NOW_US, 7),
      });
      await write(under.view, change);
      assert.equal(
        await under.reader.history(device.address, 0, NOW_S, 0, 10),
        change.publish,
      );
      assert.equal(
        await textsOf(under, updatesChannel(device.address)),
        change.publish,
      );
      assert.equal(await under.reader.last(device.address), {
        payload: change.last?.payload,
        timestamp: NOW_S,
      });
    }),
  );

  test(
    "many devices and tenants share one write, and one device may fill it alone",
    withNow(async (under) => {
      const tenant = newTenant();
      const devices = Array.from({ length: 2_500 }, (_, i) =>
        newDevice(i % 2 === 0 ? tenant : "default"),
      );
      const alone = newDevice();
      const times = Array.from({ length: 5_000 }, (_, i) => NOW_S - 5_000 + i);
      const changes = devices.map((device, i) =>
        changeOf(device, [NOW_S - 1], {
          last: lastOf(NOW_US, i),
          seenUs: NOW_US,
        }),
      );
      const large = changeOf(alone, times);
      await write(under.view, ...changes, large);
      assert.is((await under.reader.online(tenant, NOW_S))?.length, 1_250);
      assert.equal(await under.view.missingLast([...devices, alone]), [alone]);
      assert.equal(
        await under.reader.history(alone.address, 0, NOW_S, 0, 10_000),
        large.publish,
      );
      assert.equal(
        await textsOf(under, updatesChannel(alone.address)),
        large.publish,
      );
    }),
  );

  test(
    "writing again changes nothing but publishes again",
    withNow(async (under) => {
      const device = newDevice();
      const change = changeOf(device, [NOW_S - 1], {
        last: lastOf(NOW_US, 1),
        seenUs: NOW_US,
      });
      await write(under.view, change);
      await write(under.view, change);
      assert.is(
        (await under.reader.history(device.address, 0, NOW_S, 0, 10)).length,
        1,
      );
      assert.is(
        (await textsOf(under, updatesChannel(device.address))).length,
        2,
      );
      assert.is((await presenceOf(under, device)).length, 1);
    }),
  );

  test(
    "a rebuild's write publishes nothing",
    withNow(async (under) => {
      const device = newDevice();
      await under.view.write({
        changes: [changeOf(device, [NOW_S], { seenUs: NOW_US })],
        publish: false,
        mark: null,
      });
      assert.equal(await textsOf(under, updatesChannel(device.address)), []);
      assert.equal(await presenceOf(under, device), []);
      assert.is(
        (await under.reader.history(device.address, 0, NOW_S, 0, 10)).length,
        1,
      );
      assert.equal(await under.reader.seen("default", [device.deviceId]), [
        NOW_S,
      ]);
    }),
  );

  test("history takes nothing older than its window, publishes it all the same, and loses what has become older", async () => {
    let nowMs = NOW_MS;
    await withView(
      () => nowMs,
      async (under) => {
        const device = newDevice();
        const cutoff = nowMs / 1000 - RULES.historySeconds;
        const change = changeOf(device, [
          cutoff - 0.001,
          cutoff,
          cutoff + 1,
          cutoff + 10,
        ]);
        await write(under.view, change);
        assert.equal(
          await under.reader.history(device.address, 0, NOW_S, 0, 10),
          change.publish.slice(1),
        );
        assert.equal(
          await textsOf(under, updatesChannel(device.address)),
          change.publish,
        );
        nowMs += 5_000;
        const next = changeOf(device, [NOW_S]);
        await write(under.view, next);
        assert.equal(
          await under.reader.history(device.address, 0, Infinity, 0, 10),
          [change.publish[3], ...next.publish],
        );
        nowMs += 5 * 3_600_000 + 10_000;
        await write(under.view, changeOf(device, [cutoff]));
        assert.equal(
          await under.reader.history(
            device.address,
            -Infinity,
            Infinity,
            0,
            10,
          ),
          [],
        );
      },
    );
  });

  test(
    "history is read by time, oldest first, page by page",
    withNow(async (under) => {
      const device = newDevice();
      const change = changeOf(device, [
        NOW_S - 5,
        NOW_S - 4,
        NOW_S - 3,
        NOW_S - 2,
        NOW_S - 1,
      ]);
      await write(under.view, {
        ...change,
        history: change.history.toReversed(),
      });
      const read = (from: number, to: number, offset: number, limit: number) =>
        under.reader.history(device.address, from, to, offset, limit);
      assert.equal(
        await read(NOW_S - 4, NOW_S - 2, 0, 10),
        change.publish.slice(1, 4),
      );
      assert.equal(await read(0, NOW_S, 0, 2), change.publish.slice(0, 2));
      assert.equal(await read(0, NOW_S, 2, 2), change.publish.slice(2, 4));
      assert.equal(await read(0, NOW_S, 4, 2), change.publish.slice(4));
      assert.equal(await read(0, NOW_S, 6, 2), []);
    }),
  );

  test(
    "last state goes forward only, whatever the order and however often its messages come",
    withNow(async (under) => {
      const states = fc.uniqueArray(
        fc.record({
          order: fc.integer({ min: 0, max: 5 }),
          offset: fc.integer({ min: 0, max: 20 }),
        }),
        {
          minLength: 1,
          maxLength: 12,
          selector: ({ order, offset }) => `${order}/${offset}`,
        },
      );
      const replays = states.chain((all) =>
        fc.record({
          all: fc.constant(all),
          replay: fc.array(fc.nat(all.length - 1), { maxLength: 20 }),
          order: fc.shuffledSubarray(all, { minLength: all.length }),
        }),
      );
      await fc.assert(
        fc.asyncProperty(replays, async ({ all, replay, order }) => {
          const device = newDevice();
          const toLast = (each: { order: number; offset: number }) =>
            lastOf(NOW_US + each.order, each.offset);
          let newest: LastState | null = null;
          for (const each of [
            ...order,
            ...replay.map((i) => all[i]).filter((s) => s !== undefined),
          ]) {
            const last = toLast(each);
            if (isLater(last, newest)) newest = last;
            await write(under.view, changeOf(device, [], { last }));
            assert.is(
              (await under.reader.last(device.address))?.payload,
              newest?.payload,
            );
          }
        }),
        { numRuns: 40 },
      );
    }),
  );

  test(
    "a write that only moves the mark moves it, or says that it stands elsewhere",
    withNow(async ({ view }) => {
      const place = { topic: TOPIC.data, partition: 3 };
      await view.setMark(place.topic, place.partition, 5);
      const move = (from: number, to: number) =>
        view.write({
          changes: [],
          publish: false,
          mark: { ...place, from, to },
        });
      assert.equal(await move(5, 9), { marked: true });
      assert.equal(await move(5, 12), { marked: false });
      assert.is(await view.mark(place.topic, place.partition), 9);
    }),
  );

  test(
    "devices without a last state are told",
    withNow(async (under) => {
      const [known, unknown] = [newDevice("t1"), newDevice()];
      await write(under.view, changeOf(known, [], { last: lastOf(NOW_US, 1) }));
      assert.equal(await under.view.missingLast([unknown, known]), [unknown]);
      assert.equal(await under.view.missingLast([]), []);
      assert.is(await under.reader.last(unknown.address), null);
    }),
  );

  test(
    "a device is online since its newest arrival, within its tenant",
    withNow(async (under) => {
      const tenant = newTenant();
      assert.is(await under.reader.online(tenant, 0), null);
      assert.is(await under.reader.seen(tenant, ["x"]), null);
      const [a, b] = [newDevice(tenant), newDevice(tenant)];
      await write(
        under.view,
        changeOf(a, [], { seenUs: NOW_US }),
        changeOf(b, [], { seenUs: NOW_US - 5_000_000 }),
      );
      await write(under.view, changeOf(a, [], { seenUs: NOW_US - 9_000_000 }));
      assert.equal(await under.reader.online(tenant, 0), [
        { deviceId: b.deviceId, seenS: NOW_S - 5 },
        { deviceId: a.deviceId, seenS: NOW_S },
      ]);
      assert.equal(await under.reader.online(tenant, NOW_S - 1), [
        { deviceId: a.deviceId, seenS: NOW_S },
      ]);
      assert.equal(await under.reader.online(tenant, NOW_S + 1), []);
      assert.equal(await under.reader.seen(tenant, [a.deviceId, "nobody"]), [
        NOW_S,
        null,
      ]);
      assert.equal(await under.reader.seen(tenant, []), []);
    }),
  );

  test("coming online is published once, and again after silence", async () => {
    let nowMs = NOW_MS;
    await withView(
      () => nowMs,
      async (under) => {
        const device = newDevice(newTenant(), "site-1");
        const online = (seenUs: number) => ({
          device_id: device.deviceId,
          tenant: device.tenant,
          online: true,
          cause: null,
          last_seen: toIso(seenUs),
        });
        const seen = (seenUs: number) =>
          write(under.view, changeOf(device, [], { seenUs }));
        // From a backlog: seen longer ago than the limit.
        await seen(NOW_US - 61_000_000);
        assert.equal(await presenceOf(under, device), []);
        await seen(NOW_US);
        await seen(NOW_US + 1_000);
        assert.equal(await presenceOf(under, device), [online(NOW_US)]);
        nowMs += 61_000;
        await seen(nowMs * 1000);
        assert.equal(await presenceOf(under, device), [
          online(NOW_US),
          online(nowMs * 1000),
        ]);
      },
    );
  });

  test(
    "a silent device leaves the online set once, unless it was seen again",
    withNow(async (under) => {
      const tenant = newTenant();
      const [silent, back] = [newDevice(tenant), newDevice(tenant)];
      await write(
        under.view,
        changeOf(silent, [], { seenUs: NOW_US }),
        changeOf(back, [], { seenUs: NOW_US + 1_000 }),
      );
      const changes = [silent, back].map((device) => ({
        device,
        seenUs: NOW_US - 1,
        unlessAfterUs: NOW_US,
        cause: 'silent for "60" s',
      }));
      await under.view.offline(changes);
      await under.view.offline(changes);
      assert.equal(
        await under.reader.seen(tenant, [silent.deviceId, back.deviceId]),
        [null, toSeconds(NOW_US + 1_000)],
      );
      assert.equal((await presenceOf(under, silent)).slice(1), [
        {
          device_id: silent.deviceId,
          tenant,
          online: false,
          cause: 'silent for "60" s',
          last_seen: toIso(NOW_US - 1),
        },
      ]);
      assert.is((await presenceOf(under, back)).length, 1);
    }),
  );

  test(
    "a device that says it is gone leaves the online set at once, unless it was seen after that",
    withNow(async (under) => {
      const tenant = newTenant();
      const [gone, back, quiet] = [
        newDevice(tenant),
        newDevice(tenant),
        newDevice(tenant),
      ];
      const word = { gone: { atUs: NOW_US, seenUs: NOW_US - 1_000 } };
      await write(
        under.view,
        changeOf(gone, [], { seenUs: NOW_US - 1_000, ...word }),
        changeOf(back, [], { seenUs: NOW_US + 1_000 }),
        changeOf(quiet, [], { seenUs: NOW_US }),
      );
      await write(under.view, changeOf(back, [], word));
      await under.view.write({
        changes: [
          changeOf(quiet, [], { gone: { atUs: NOW_US, seenUs: NOW_US } }),
        ],
        publish: false,
        mark: null,
      });
      const seen = await under.reader.seen(
        tenant,
        [gone, back, quiet].map(({ deviceId }) => deviceId),
      );
      assert.equal(seen, [null, toSeconds(NOW_US + 1_000), null]);
      assert.equal((await presenceOf(under, gone)).at(-1), {
        device_id: gone.deviceId,
        tenant,
        online: false,
        cause: "disconnected",
        last_seen: toIso(NOW_US - 1_000),
      });
      assert.is((await presenceOf(under, back)).length, 1);
      assert.is((await presenceOf(under, quiet)).length, 1, "not published");
    }),
  );

  test(
    "who was heard of since then, the latest first",
    withNow(async ({ view, reader }) => {
      const tenant = newTenant();
      const devices = Array.from({ length: 5 }, () => newDevice(tenant));
      await view.write({
        changes: devices.map((device, i) =>
          changeOf(device, [], { seenUs: NOW_US + i * 1_000_000 }),
        ),
        publish: false,
        mark: null,
      });
      const ids = devices.map(({ deviceId }) => deviceId).toReversed();
      const since = (plusS: number, limit: number) =>
        reader.heardSince(tenant, NOW_S + plusS, limit);
      assert.equal(await since(-1, 10), ids);
      assert.equal(await since(2, 10), ids.slice(0, 3));
      assert.equal(await since(2, 2), ids.slice(0, 2));
      assert.equal(await since(60, 10), []);
      assert.equal(await reader.heardSince(newTenant(), 0, 10), []);
    }),
  );

  test(
    "the message of a last state is the one that was published",
    withNow(async ({ view, reader }) => {
      const flat = newDevice();
      const ofTenant = newDevice(newTenant(), "hq");
      const payload = '{ "t": 7.30,\n"n":12345678901234567890 }';
      const changes = [flat, ofTenant].map((device) => {
        const last = { ...lastOf(NOW_US, 1), payload };
        const publish = [fullMessage({ ...device, payload, timeUs: NOW_US })];
        return changeOf(device, [], { last, publish });
      });
      await view.write({ changes, publish: false, mark: null });
      assert.equal(
        await reader.lastMessages([
          ofTenant.address,
          newDevice().address,
          flat.address,
        ]),
        [changes[1]!.publish[0]!, null, changes[0]!.publish[0]!],
      );
    }),
  );

  test(
    "the mark moves from where the write began or already ended, and from nowhere else",
    withNow(async ({ view }) => {
      const topic = newTopic();
      const move = async (from: number, to: number) =>
        (
          await view.write({
            changes: [],
            publish: true,
            mark: { topic, partition: 3, from, to },
          })
        ).marked;
      assert.is(await move(0, 10), false);
      assert.is(await view.mark(topic, 3), null);
      await view.setMark(topic, 3, 5);
      assert.is(await move(0, 10), false);
      assert.is(await view.mark(topic, 3), 5);
      assert.is(await move(5, 10), true);
      assert.is(await move(5, 10), true);
      assert.is(await view.mark(topic, 3), 10);
      assert.is(await view.mark(topic, 4), null);
      await view.setMark(topic, 3, null);
      assert.is(await view.mark(topic, 3), null);
      assert.is(
        (await view.write({ changes: [], publish: true, mark: null })).marked,
        false,
      );
    }),
  );

  test(
    "a write takes effect even when its mark stands elsewhere",
    withNow(async ({ view, reader }) => {
      const device = newDevice();
      const mark = { topic: newTopic(), partition: 0, from: 1, to: 2 };
      const changes = [changeOf(device, [NOW_S])];
      assert.equal(await view.write({ changes, publish: true, mark }), {
        marked: false,
      });
      assert.is(
        (await reader.history(device.address, 0, NOW_S, 0, 10)).length,
        1,
      );
    }),
  );

  test(
    "an accepted command is remembered under its device",
    withNow(async ({ reader }) => {
      const { address: at } = newDevice();
      const command = {
        cmdId: "01J",
        op: "start",
        params: { level: 3 },
        createdMs: NOW_MS,
        expiresMs: NOW_MS + 60_000,
      };
      await reader.rememberCommand(at, command);
      assert.equal(await reader.acceptedCommand(at, "01J"), command);
      assert.is(await reader.acceptedCommand(newDevice().address, "01J"), null);
    }),
  );

  test(
    "a closed view answers with an error that may be tried again",
    withNow(async ({ view }) => {
      await view.ping();
      await view.close();
      const error = await view.ping().then(
        () => null,
        (failure: unknown) => failure as { code: string },
      );
      assert.is(error?.code, "VIEW_UNREACHABLE");
    }),
  );

  return test;
}
