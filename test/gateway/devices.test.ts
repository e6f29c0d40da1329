import { suite } from "uvu";
import * as assert from "uvu/assert";
import { fullMessage } from "../support/memory-readers.js";
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
        `{"device_id":"dev:1.a_b-C","tenant":"default","online":true,"last_seen":"2026-01-15T10:00:00.000Z","timestamp":${NOW_S - 0.125},"payload":{"n":12345678901234567890, "t": 1.50}}`,
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
      timestamp: null,
      payload: null,
    });
  }),
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

const history = suite("GET /devices/:id/history");

async function fill(rig: GatewayRig, agoS: readonly number[]): Promise<void> {
  const messages = agoS.map((ago, i) =>
    fullMessage("dev-1", NOW_US - ago * SECOND_US, { i }),
  );
  await rig.view.putHistory("dev-1", messages);
}

interface Page {
  device_id: string;
  messages: { timestamp: number; payload: { i: number } }[];
  next: string | null;
}

history("gives the last five hours, oldest first", () =>
  withGateway(async (rig) => {
    await fill(rig, [10, 18_001, 17_999, 3600]);
    const answer = await rig.get("/devices/dev-1/history");
    assert.is(answer.status, 200);
    assert.equal(answer.body, {
      device_id: "dev-1",
      messages: [2, 3, 0].map((i) => ({
        device_id: "dev-1",
        payload: { i },
        timestamp: NOW_S - [10, 18_001, 17_999, 3600][i]!,
      })),
      next: null,
    });
  }),
);

history("takes from and to as ISO, seconds or milliseconds, both within", () =>
  withGateway(async (rig) => {
    await fill(rig, [400, 300, 200, 100]);
    const from = NOW_S - 300;
    const to = NOW_S - 200;
    for (const form of [
      (s: number) => String(s),
      (s: number) => String(s * 1000),
      (s: number) => new Date(s * 1000).toISOString(),
    ]) {
      const answer = await rig.get(
        `/devices/dev-1/history?from=${form(from)}&to=${form(to)}`,
      );
      assert.equal(
        (answer.body as Page).messages.map((message) => message.payload.i),
        [1, 2],
      );
    }
  }),
);

history(
  "pages without loss or repetition, many at one instant, the old end trimmed meanwhile",
  () =>
    withGateway(async (rig) => {
      const ago = [90, 80, 80, 80, 80, 80, 70, 60, 60, 50];
      const almostGone = 17_900;
      await fill(
        rig,
        ago.map((s) => s + almostGone),
      );
      const seen: number[] = [];
      let next: string | null = "";
      let pages = 0;
      while (next !== null) {
        const cursor: string = next === "" ? "" : `&cursor=${next}`;
        const page = (await rig.get(`/devices/dev-1/history?limit=2${cursor}`))
          .body as Page;
        seen.push(...page.messages.map((message) => message.payload.i));
        next = page.next;
        // The first message is too old from here on.
        if (++pages === 2) rig.time.nowMs += 15_000;
        assert.ok(pages < 9);
      }
      assert.equal(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }),
);

history("ends a page early when its messages are large", () =>
  withGateway(async (rig) => {
    const large = "x".repeat(2_000_000);
    await rig.view.putHistory(
      "dev-1",
      Array.from({ length: 40 }, (_, i) =>
        fullMessage("dev-1", NOW_US - (100 - i) * SECOND_US, { i, large }),
      ),
    );
    const seen: number[] = [];
    let next: string | null = "";
    while (next !== null) {
      const cursor: string = next === "" ? "" : `?cursor=${next}`;
      const page = (await rig.get(`/devices/dev-1/history${cursor}`))
        .body as Page;
      assert.ok(page.messages.length < 40);
      seen.push(...page.messages.map((message) => message.payload.i));
      next = page.next;
    }
    assert.equal(
      seen,
      Array.from({ length: 40 }, (_, i) => i),
    );
  }),
);

history("reads a long history of small messages in few questions", () =>
  withGateway(async (rig) => {
    await fill(
      rig,
      Array.from({ length: 1500 }, (_, i) => 1500 - i),
    );
    const page = (await rig.get("/devices/dev-1/history")).body as Page;
    assert.is(page.messages.length, 1000);
    assert.ok(page.next !== null);
    assert.is(rig.view.calls.filter((call) => call === "history").length, 2);
  }),
);

history("is empty for a known device, 404 for an unknown one", () =>
  withGateway(async (rig) => {
    rig.records.known.push(record("dev-1", 90_000, { online: false }));
    assert.equal((await rig.get("/devices/dev-1/history")).body, {
      device_id: "dev-1",
      messages: [],
      next: null,
    });
    const unknown = await rig.get("/devices/ghost/history");
    assert.is(problemIn(unknown).code, "DEVICE_UNKNOWN");
  }),
);

history("refuses what is no time and no cursor", () =>
  withGateway(async (rig) => {
    for (const [query, path] of [
      ["from=yesterday", "query.from"],
      ["to=2026-13-01", "query.to"],
      ["cursor=x", "query.cursor"],
      ["limit=5001", "query.limit"],
    ] as const) {
      const answer = await rig.get(`/devices/dev-1/history?${query}`);
      assert.is(answer.status, 400, query);
      assert.is(problemIn(answer).errors[0]?.path, path);
    }
  }),
);
history.run();
