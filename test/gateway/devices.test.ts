import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type GatewayRig,
  NOW_S,
  NOW_US,
  problemIn,
  withGateway,
} from "../support/gateway-rig.js";

const SECOND_US = 1_000_000;

/** A device as the database has it. */
const record = (
  deviceId: string,
  agoS: number,
  more: { online?: boolean; cause?: string | null; tenant?: string } = {},
) => ({
  deviceId,
  tenant: more.tenant ?? "default",
  site: null,
  online: more.online ?? true,
  lastSeenUs: NOW_US - agoS * SECOND_US,
  cause: more.cause ?? null,
});

/** Devices in the online set, by how many seconds ago they were seen. */
const online = (rig: GatewayRig, agoS: Record<string, number>): Promise<void> =>
  rig.view.putOnline(
    Object.fromEntries(
      Object.entries(agoS).map(([id, ago]) => [id, NOW_S - ago]),
    ),
  );

const listing = suite("GET /devices");

listing("lists who is in the online set within the timeout, by id", () =>
  withGateway(async (rig) => {
    await online(rig, { "dev-2": 59.5, "dev-1": 0.25, "dev-3": 61 });
    for (const url of ["/devices", "/api/v1/devices"]) {
      const answer = await rig.get(url);
      assert.is(answer.status, 200);
      assert.equal(answer.body, {
        devices: [
          {
            device_id: "dev-1",
            tenant: "default",
            online: true,
            last_seen: "2026-01-15T09:59:59.750Z",
            cause: null,
          },
          {
            device_id: "dev-2",
            tenant: "default",
            online: true,
            last_seen: "2026-01-15T09:59:00.500Z",
            cause: null,
          },
        ],
        next: null,
      });
    }
    assert.equal(rig.records.calls, [], "Redis answers this alone");
  }),
);

listing("pages by id, each device once", () =>
  withGateway(async (rig) => {
    await online(rig, { a: 1, c: 1, b: 1, e: 1, d: 1 });
    const seen: string[] = [];
    let next: string | null = "";
    for (let page = 0; next !== null && page < 9; page++) {
      const cursor: string = next === "" ? "" : `&cursor=${next}`;
      const answer = await rig.get(`/devices?limit=2${cursor}`);
      const body = answer.body as {
        devices: { device_id: string }[];
        next: string | null;
      };
      seen.push(...body.devices.map((device) => device.device_id));
      next = body.next;
    }
    assert.equal(seen, ["a", "b", "c", "d", "e"]);
    assert.is(next, null);
  }),
);

listing("asks the database when Redis has no online set", () =>
  withGateway(async (rig) => {
    rig.records.known.push(
      record("here", 30),
      record("silent", 90),
      record("gone", 10, { online: false, cause: "last_will" }),
      record("theirs", 1, { tenant: "acme" }),
    );
    assert.equal((await rig.get("/devices")).body, {
      devices: [
        {
          device_id: "here",
          tenant: "default",
          online: true,
          last_seen: "2026-01-15T09:59:30.000Z",
          cause: null,
        },
      ],
      next: null,
    });
  }),
);

listing("all=1 lists every known device, with presence from Redis", () =>
  withGateway(async (rig) => {
    await online(rig, { a: 2 });
    rig.records.known.push(
      record("a", 40),
      record("b", 5, { online: true }),
      record("c", 300, { online: false, cause: "silence" }),
    );
    assert.equal((await rig.get("/devices?all=1&limit=2")).body, {
      devices: [
        {
          device_id: "a",
          tenant: "default",
          online: true,
          last_seen: "2026-01-15T09:59:58.000Z",
          cause: null,
        },
        {
          device_id: "b",
          tenant: "default",
          online: false,
          last_seen: "2026-01-15T09:59:55.000Z",
          cause: null,
        },
      ],
      next: "b",
    });
    assert.equal((await rig.get("/devices?all=1&limit=2&cursor=b")).body, {
      devices: [
        {
          device_id: "c",
          tenant: "default",
          online: false,
          last_seen: "2026-01-15T09:55:00.000Z",
          cause: "silence",
        },
      ],
      next: null,
    });
  }),
);

listing("says which field of the query is wrong", () =>
  withGateway(async (rig) => {
    for (const [query, path] of [
      ["limit=0", "query.limit"],
      ["limit=many", "query.limit"],
      ["all=perhaps", "query.all"],
      ["cursor=a%2Fb", "query.cursor"],
    ] as const) {
      const answer = await rig.get(`/devices?${query}`);
      assert.is(answer.status, 400, query);
      assert.is(problemIn(answer).code, "BAD_REQUEST");
      assert.equal(
        problemIn(answer).errors.map((error) => error.path),
        [path],
      );
    }
  }),
);
listing.run();

const one = suite("GET /devices/:id");

one("shows the last state with the device's own text, numbers untouched", () =>
  withGateway(async (rig) => {
    await online(rig, { "dev:1.a_b-C": 0 });
    await rig.view.putLast("dev:1.a_b-C", {
      payload: '{"n":12345678901234567890, "t": 1.50}',
      timestamp: NOW_S - 0.125,
    });
    for (const id of ["dev:1.a_b-C", "dev%3A1.a_b-C"]) {
      const answer = await rig.get(`/devices/${id}`);
      assert.is(answer.status, 200);
      assert.match(
        String(answer.headers["content-type"]),
        /^application\/json/,
      );
      assert.is(
        answer.text,
        `{"device_id":"dev:1.a_b-C","tenant":"default","online":true,"last_seen":"2026-01-15T10:00:00.000Z","cause":null,"timestamp":${NOW_S - 0.125},"payload":{"n":12345678901234567890, "t": 1.50}}`,
      );
    }
    assert.equal(rig.records.calls, [], "no question to the database");
  }),
);

one("takes the newest rows where Redis has lost the last state", () =>
  withGateway(async (rig) => {
    rig.records.known.push(
      record("dev-1", 600, { online: false, cause: "silence" }),
    );
    rig.records.newestStates.set("dev-1", {
      orderUs: 0,
      offset: 7,
      timeUs: NOW_US - 600 * SECOND_US,
      payload: '{"schema":"v1"}',
    });
    assert.equal((await rig.get("/devices/dev-1")).body, {
      device_id: "dev-1",
      tenant: "default",
      online: false,
      last_seen: "2026-01-15T09:50:00.000Z",
      cause: "silence",
      timestamp: NOW_S - 600,
      payload: { schema: "v1" },
    });
  }),
);

one("shows a device that only ever said hello", () =>
  withGateway(async (rig) => {
    await online(rig, { "dev-1": 3 });
    assert.equal((await rig.get("/devices/dev-1")).body, {
      device_id: "dev-1",
      tenant: "default",
      online: true,
      last_seen: "2026-01-15T09:59:57.000Z",
      cause: null,
      timestamp: null,
      payload: null,
    });
  }),
);

one(
  "is not called offline while a bridge is away or a processor behind, and says which",
  async () => {
    const shown = { untilMs: NOW_S * 1000, bridgesMs: NOW_S * 1000 };
    await withGateway(
      async (rig) => {
        await online(rig, { "dev-1": 90, "dev-2": 5, "dev-3": 900 });
        rig.records.known.push(record("dev-3", 900, { cause: "silent" }));
        const look = async () => {
          const one = (await rig.get("/devices/dev-1")).body;
          const { online: is, cause } = one as Record<string, unknown>;
          const list = (await rig.get("/devices")).body as {
            devices: { device_id: string; cause: unknown }[];
          };
          return {
            one: [is, cause],
            list: list.devices.map((each) => [each.device_id, each.cause]),
          };
        };
        const only = [["dev-2", null]];
        assert.equal(await look(), { one: [false, null], list: only });
        // Until 60 s ago everything is known: it had been heard of 30 s before that.
        shown.untilMs = shown.bridgesMs = (NOW_S - 60) * 1000;
        assert.equal(await look(), {
          one: [true, "bridge down"],
          list: [["dev-1", "bridge down"], ...only],
        });
        shown.bridgesMs = NOW_S * 1000;
        assert.equal((await look()).one, [true, "processor behind"]);
        // A beat and a look are always a little old.
        shown.untilMs = (NOW_S - 5) * 1000;
        assert.equal((await look()).list, only);
        const all = (await rig.get("/devices?all=1")).body as {
          devices: unknown[];
        };
        assert.match(JSON.stringify(all.devices), '"cause":"silent"');
      },
      { deps: { horizon: () => shown } },
    );
  },
);

one("is offline when not in the set, whatever the database still says", () =>
  withGateway(async (rig) => {
    await online(rig, { other: 1 });
    rig.records.known.push(record("dev-1", 10));
    await rig.view.putLast("dev-1", { payload: "{}", timestamp: NOW_S - 10 });
    assert.is(
      ((await rig.get("/devices/dev-1")).body as { online: boolean }).online,
      false,
    );
  }),
);

one("is online by the database when Redis has no set", () =>
  withGateway(async (rig) => {
    rig.records.known.push(record("dev-1", 10));
    await rig.view.putLast("dev-1", { payload: "{}", timestamp: NOW_S - 10 });
    assert.is(
      ((await rig.get("/devices/dev-1")).body as { online: boolean }).online,
      true,
    );
  }),
);

one(
  "is known as soon as it is registered, before its first flush says when it was seen",
  () =>
    withGateway(async (rig) => {
      rig.records.known.push({ ...record("dev-1", 0), lastSeenUs: 0 });
      const answer = await rig.get("/devices/dev-1");
      assert.is(answer.status, 200);
      assert.is((answer.body as { last_seen: null }).last_seen, null);
      const all = (await rig.get("/devices?all=1")).body as {
        devices: { last_seen: null }[];
      };
      assert.is(all.devices[0]?.last_seen, null);
    }),
);

one("knows a device by an id of 128 characters, each encoded", () =>
  withGateway(async (rig) => {
    const id = ":".repeat(128);
    await online(rig, { [id]: 1 });
    assert.is((await rig.get(`/devices/${"%3A".repeat(128)}`)).status, 200);
  }),
);

one("answers 404 for one never seen and 400 for an id that cannot be", () =>
  withGateway(async (rig) => {
    const unknown = await rig.get("/devices/ghost");
    assert.is(unknown.status, 404);
    assert.is(problemIn(unknown).code, "DEVICE_UNKNOWN");
    assert.match(problemIn(unknown).detail, "ghost");
    for (const id of ["a%20b", "acme%2Fdev", "%00", "x".repeat(129)]) {
      const bad = await rig.get(`/devices/${id}`);
      assert.is(bad.status, 400, id);
      assert.is(problemIn(bad).errors[0]?.path, "path.id");
    }
  }),
);
one.run();
