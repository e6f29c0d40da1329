/** Devices, events and the rest, as every TelemetryStore must keep them. */
import * as assert from "uvu/assert";
import { countSensors, findSensor } from "../../src/domain/sensors.js";
import type { StoreTest } from "./telemetry-store.js";
import {
  change,
  claimLane,
  DATA,
  device,
  event,
  NOW_US,
  PARTITION,
  row,
  sensor,
} from "./telemetry-store-batches.js";

export function deviceTests(test: StoreTest): void {
  test("events are unique by device, time and hash", async ({
    store,
    events,
  }) => {
    const [one, two] = [device("dev-1"), device("dev-2")];
    await store.register(PARTITION, [one, two], []);
    const lane = await claimLane(store);
    const changes = [
      change(one, {
        events: [
          event(one),
          event(one),
          event(one, { hash: "f".repeat(64), payload: '"other"' }),
        ],
      }),
      change(two, { events: [event(two)] }),
    ];
    await lane.flush(4, { changes });
    await lane.flush(4, { changes });
    assert.equal((await events()).sort(), [
      '"other"',
      '{"event":"start"}',
      '{"event":"start"}',
    ]);
  });

  test("registering gives ids once; the same name in another type class, device or tenant is another sensor", async ({
    store,
  }) => {
    const [here, there] = [device("dev-1"), device("dev-1", "acme")];
    const sensors = [
      sensor(here, "a"),
      sensor(here, "a", "text"),
      sensor(there, "a"),
      sensor(here, "b"),
    ];
    await store.register(PARTITION, [here, there], sensors);
    const ids = sensors.map(({ id }) => id);
    assert.is(new Set(ids).size, 4);
    assert.ok(
      ids.every((id) => id > 0) &&
        here.equipmentId > 0 &&
        here.equipmentId !== there.equipmentId,
    );
    const again = [device("dev-1"), device("dev-1", "acme")] as const;
    const same = [
      sensor(again[0], "a"),
      sensor(again[0], "a", "text"),
      sensor(again[1], "a"),
      sensor(again[0], "b"),
    ];
    await store.register(PARTITION, again, same);
    assert.equal(
      same.map(({ id }) => id),
      ids,
    );
    assert.equal(
      again.map((ref) => ref.equipmentId),
      [here.equipmentId, there.equipmentId],
    );
  });

  test("a new device's first word is stored with it, and not once more by the flush; one that is known keeps what it has", async ({
    store,
  }) => {
    const one = device("dev-1");
    const presence = (of: typeof one, seenUs: number) => ({
      device: of,
      seenUs,
      online: true,
      cause: null,
    });
    const word = { presence: presence(one, NOW_US), firmware: "1.0" };
    const made = await store.register(
      PARTITION,
      [one, device("dev-2")],
      [sensor(one, "temp")],
      new Map([["dev-1", word]]),
    );
    assert.is(made.size, 2);
    assert.ok(made.has(one.equipmentId));
    assert.equal(
      (await store.onlineDevices(PARTITION)).map(
        ({ device, lastSeenUs }) => [device.address, lastSeenUs] as const,
      ),
      [["dev-1", NOW_US]],
    );
    const same = device("dev-1");
    const later = { presence: presence(same, NOW_US + 1), firmware: "2.0" };
    const again = await store.register(
      PARTITION,
      [same],
      [],
      new Map([["dev-1", later]]),
    );
    assert.is(again.size, 0);
    assert.is(same.equipmentId, one.equipmentId);
    const lane = await claimLane(store);
    await lane.flush(1, {
      presence: [presence(one, NOW_US + 2)],
      introduced: made,
    });
    const { state, lastSeenUs } = (await store.wake([device("dev-1")])).get(
      "dev-1",
    )!;
    assert.is(lastSeenUs, NOW_US);
    assert.is(state.firmware, "1.0");
    await lane.flush(1, { presence: [presence(one, NOW_US + 2)] });
    const moved = (await store.wake([device("dev-1")])).get("dev-1")!;
    assert.is(moved.lastSeenUs, NOW_US + 2);
  });

  test("a sensor without a unit takes the first that is given, and keeps it", async ({
    store,
  }) => {
    const dev = device("dev-1");
    const ids: number[] = [];
    for (const unit of [null, "°C", "°F", null]) {
      const temp = sensor(dev, "temp", "num", unit);
      await store.register(PARTITION, [dev], [temp]);
      ids.push(temp.id);
    }
    assert.is(new Set(ids).size, 1);
    const woken = await store.wake([device("dev-1")]);
    const { sensors } = woken.get("dev-1")!.state;
    assert.is(findSensor(sensors, "num", "temp")!.unit, "°C");
  });

  test("a new sensor that is given twice, without its unit and with it, is one that has it", async ({
    store,
  }) => {
    const dev = device("dev-1");
    const twice = [
      sensor(dev, "temp", "num", null),
      sensor(dev, "temp", "num", "°C"),
    ];
    await store.register(PARTITION, [dev], twice);
    assert.is(twice[0]!.id, twice[1]!.id);
    const woken = await store.wake([device("dev-1")]);
    const { sensors } = woken.get("dev-1")!.state;
    assert.is(findSensor(sensors, "num", "temp")!.unit, "°C");
    assert.is(countSensors(sensors), 1);
  });

  test("a device that is woken without its site gets it back, for its topics", async ({
    store,
  }) => {
    await store.register(PARTITION, [device("dev-1", "acme")], []);
    const asked = { ...device("dev-1", "acme"), site: null };
    const woken = await store.wake([asked]);
    const { state } = woken.get("acme/dev-1")!;
    assert.is(state.device.site, "site-1");
    assert.ok(state.device.equipmentId > 0);
  });

  test("a device that was made known without its site gets it with its first presence", async ({
    store,
  }) => {
    const bare = { ...device("dev-1", "acme"), site: null };
    await store.register(PARTITION, [bare], []);
    const lane = await claimLane(store);
    const heard = { ...device("dev-1", "acme"), equipmentId: bare.equipmentId };
    const seen = (of: typeof heard) => [
      { device: of, seenUs: NOW_US, online: true, cause: null },
    ];
    await lane.flush(1, { presence: seen(heard) });
    await lane.flush(1, { presence: seen({ ...heard, site: "site-2" }) });
    const asked = { ...device("dev-1", "acme"), site: null };
    const woken = await store.wake([asked]);
    assert.is(woken.get("acme/dev-1")!.state.device.site, "site-1");
  });

  test("devices with an adapter of their own are listed, and a change is seen", async ({
    store,
    setAdapter,
  }) => {
    assert.equal([...(await store.registeredAdapters())], []);
    await store.register(
      PARTITION,
      [device("dev-1"), device("dev-1", "acme"), device("dev-2")],
      [],
    );
    await setAdapter("acme", "dev-1", "tasmota");
    await setAdapter("default", "dev-2", "parsec_v1");
    const listed = async () =>
      [...(await store.registeredAdapters())].sort(([a], [b]) =>
        a < b ? -1 : 1,
      );
    assert.equal(await listed(), [
      ["acme/dev-1", "tasmota"],
      ["dev-2", "parsec_v1"],
    ]);
    assert.equal((await listed()).length, 2, "and again, unchanged");
    await setAdapter("acme", "dev-1", null);
    await setAdapter("default", "dev-2", "tasmota");
    assert.equal(await listed(), [["dev-2", "tasmota"]]);
  });

  test("a device wakes with what was stored of it, and one never seen is absent", async ({
    store,
  }) => {
    const [one, bare, unknown] = [
      device("dev-1", "acme"),
      device("dev-2"),
      device("dev-3"),
    ];
    const temp = sensor(one, "temp", "num", "°C");
    await store.register(
      PARTITION,
      [one, bare],
      [temp, sensor(one, "mode", "text")],
    );
    const lane = await claimLane(store);
    await lane.flush(1, {
      changes: [
        change(one, {
          untimed: ["bridge-1:7:abc", "ü\0"],
          quarantinedUntilMs: 1_763_600_000_001,
          firmware: "1.2.3",
        }),
      ],
      presence: [{ device: one, seenUs: NOW_US, online: true, cause: null }],
    });
    const asked = [device("dev-1", "acme"), device("dev-2"), unknown];
    const woken = await store.wake(asked);
    assert.equal([...woken.keys()].sort(), ["acme/dev-1", "dev-2"]);
    const { state, lastSeenUs, online } = woken.get("acme/dev-1")!;
    assert.equal(
      [lastSeenUs, online, state.untimed, state.quarantinedUntilMs, state.last],
      [NOW_US, true, ["bridge-1:7:abc", "ü\0"], 1_763_600_000_001, null],
    );
    assert.is(state.device.equipmentId, one.equipmentId);
    assert.is(state.firmware, "1.2.3");
    assert.is(woken.get("dev-2")!.state.firmware, null);
    const woke = findSensor(state.sensors, "num", "temp")!;
    assert.equal(
      [woke.id, woke.type, woke.unit, woke.device.address],
      [temp.id, "float", "°C", "acme/dev-1"],
    );
    assert.ok(findSensor(state.sensors, "text", "mode"));
    const other = woken.get("dev-2")!;
    assert.equal([countSensors(other.state.sensors), other.lastSeenUs], [0, 0]);
    assert.is(unknown.equipmentId, 0);

    await lane.flush(1, {
      changes: [change(one, { untimed: [], quarantinedUntilMs: 0 })],
    });
    const later = (await store.wake([device("dev-1", "acme")])).get(
      "acme/dev-1",
    )!;
    assert.equal(
      [later.state.untimed, later.state.quarantinedUntilMs],
      [[], 0],
    );
  });

  test("presence never goes back in time, and says who is online in a partition", async ({
    store,
  }) => {
    const [one, two] = [device("dev-1"), device("dev-2")];
    await store.register(PARTITION, [one, two], []);
    const lane = await claimLane(store);
    const seen = (of: typeof one, seenUs: number, online: boolean) => ({
      device: of,
      seenUs,
      online,
      cause: online ? null : "last will",
    });
    await lane.flush(1, {
      presence: [seen(one, NOW_US, true), seen(two, NOW_US, true)],
    });
    await lane.flush(1, {
      presence: [seen(one, NOW_US - 5, true), seen(two, NOW_US + 5, false)],
    });
    const online = await store.onlineDevices(PARTITION);
    assert.equal(
      online.map(({ device: { address }, lastSeenUs }) => [
        address,
        lastSeenUs,
      ]),
      [["dev-1", NOW_US]],
    );
    assert.equal(await store.onlineDevices(PARTITION + 1), []);
  });

  test("the newest values of a device make its last state", async ({
    store,
  }) => {
    const [dev, empty] = [device("dev-1"), device("dev-2")];
    const [temp, on, mode] = [
      sensor(dev, "temp", "num", "°C"),
      sensor(dev, "on", "bool"),
      sensor(dev, "mode", "text"),
    ];
    await store.register(PARTITION, [dev, empty], [temp, on, mode]);
    const lane = await claimLane(store);
    await lane.flush(1, {
      changes: [
        change(dev, {
          rows: [
            row(temp, NOW_US + 1, 7.3),
            row(temp, NOW_US, 99),
            row(on, NOW_US, 1),
            row(mode, NOW_US - 86_400_000_000, "RUN"),
          ],
        }),
      ],
    });
    const found = await store.newest([dev, empty, device("dev-3")]);
    assert.equal([...found.keys()], ["dev-1"]);
    const last = found.get("dev-1")!;
    assert.equal([last.timeUs, last.offset], [NOW_US + 1, -1]);
    const { schema, points } = JSON.parse(last.payload) as {
      schema: string;
      points: { name: string }[];
    };
    assert.is(schema, "v1");
    assert.equal(
      points.sort((a, b) => (a.name < b.name ? -1 : 1)),
      [
        { name: "mode", t: "enum", v: "RUN" },
        { name: "on", t: "bool", v: true },
        { name: "temp", t: "float", v: 7.3, u: "°C" },
      ],
    );
  });

  test("the default tenant is there from the start; gaps and maintenance are taken", async ({
    store,
  }) => {
    assert.ok((await store.tenants()).has("default"));
    await store.noteGap(DATA, PARTITION, 0, 100);
    await store.noteGap(DATA, PARTITION, 0, 100);
    await store.maintain();
    await store.ping();
  });
}
