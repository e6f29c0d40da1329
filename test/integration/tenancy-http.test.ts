/**
 * Every route of the gateway, as its own OpenAPI document lists them, asked by one tenant for what is another's: on the
 * real database and Redis, and so that a route that is added later is attacked too.
 */
import { randomBytes } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createDeviceView } from "../../src/adapters/redis/device-view.js";
import { createDeviceViewReader } from "../../src/adapters/redis/device-view-reader.js";
import { createAnalyticsReader } from "../../src/adapters/timescale/analytics-reader.js";
import { createDeviceCredentials } from "../../src/adapters/timescale/device-credentials.js";
import { createDeviceRecords } from "../../src/adapters/timescale/device-records.js";
import { createExplainReader } from "../../src/adapters/timescale/explain-reader.js";
import { createFleetReader } from "../../src/adapters/timescale/fleet-reader.js";
import { createUploadDesk } from "../../src/adapters/timescale/uploads-desk.js";
import { createDecoder, isDeadLetter } from "../../src/domain/decode.js";
import { encodeEnvelope } from "../../src/domain/envelope.js";
import { address, TOPIC } from "../../src/domain/names.js";
import type { FleetSummary } from "../../src/gateway/fleet.js";
import { createCredentials } from "../../src/pipeline/credentials.js";
import { changeOf } from "../conformance/device-view.js";
import { type AuthRig, withAuth } from "../support/auth-rig.js";
import { NOW_MS as THEN_MS, record } from "../support/messages.js";
import { createMemoryBrokerAccounts } from "../support/memory-credentials.js";
import { createMemoryLog } from "../support/memory-log.js";
import { createMemoryObjects } from "../support/memory-objects.js";
import { withServices } from "../support/services.js";
import { type Tenancy, withTenants } from "./timescale-tenants.js";

const test = suite("another tenant's devices over HTTP");

const run = randomBytes(6).toString("hex");
/** acme's alone. */
const DEVICE = `only-${run}`;
const COMMAND = `01JH${run.toUpperCase().padEnd(22, "0")}`;
/** Stands in everything that acme's device said and was told, and in no request. */
const MARK = `acme-secret-${run}`;

/** The same device as its address, in every way in which a path may be made to hold a slash, and in ways to leave the path. */
const DISGUISES = [
  DEVICE,
  `acme%2F${DEVICE}`,
  `acme%2f${DEVICE}`,
  `%61cme%2F${DEVICE}`,
  `acme%252F${DEVICE}`,
  `acme%5C${DEVICE}`,
  `acme:${DEVICE}`,
  `acme.${DEVICE}`,
  `acme%EF%BC%8F${DEVICE}`,
  `acme%C0%AF${DEVICE}`,
  `acme/${DEVICE}`,
  `..%2Facme%2F${DEVICE}`,
  `x%2F..%2F..%2Facme%2F${DEVICE}`,
  `acme%00%2F${DEVICE}`,
  `${DEVICE}%00`,
  `${DEVICE}%20`,
  `${DEVICE}?tenant=acme`,
  `${DEVICE}%3Ftenant=acme`,
  `'%20OR%20tenant_id='acme'--`,
];

interface Route {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
}

async function routesOf(rig: AuthRig): Promise<Route[]> {
  const { body } = await rig.get("/docs/json");
  const { paths } = body as { paths: Record<string, Record<string, unknown>> };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({
      path,
      method: method.toUpperCase() as Route["method"],
    })),
  );
}

/** The time of a reading of acme's device, Unix seconds. */
const READ_S = Math.floor(Date.now() / 1000);

/** What a route's address becomes for a device; commands, claims and readings are named as acme's. */
const addressOf = (path: string, device: string): string =>
  path
    .replace(/\{(cmd_id|claim_id)\}/g, COMMAND)
    .replace(/\{[^}]+\}/g, device)
    .replace(/\/explain$/, `/explain?point=n&at=${READ_S}`);

/** Each names acme's device in its own way; one of them fits each route that takes a body. */
const BODIES: readonly object[] = [
  { op: "reset_fault", queue: true, tenant: "acme", tenant_id: "acme" },
  {
    payload: { schema: "v1", ts: 1, points: [] },
    device_id: DEVICE,
    topic: `traksense/acme/hq/${DEVICE}/telem`,
    tenant: "acme",
  },
  [{ equip_uuid: DEVICE, tenant: "acme", sensor: [] }],
];

interface Ground extends AuthRig {
  /** User names of acme's device that work. */
  acmeLogIns(): Promise<string[]>;
}

async function withGround(use: (rig: Ground) => Promise<void>): Promise<void> {
  await withServices(["redis"], ({ REDIS_URL = "" }) =>
    withTenants("never", async (tenancy) => {
      const { url } = tenancy;
      await plant(tenancy, REDIS_URL);
      const pool = { url, name: "attack", poolMin: 0, poolMax: 2 };
      const records = createDeviceRecords(pool);
      const analytics = createAnalyticsReader(pool);
      const desk = createUploadDesk(pool);
      const view = createDeviceViewReader({ url: REDIS_URL });
      const book = createDeviceCredentials(pool);
      const credentials = createCredentials({
        book,
        broker: createMemoryBrokerAccounts(),
        clock: Date.now,
        newPassword: () => "a password",
        settings: {
          maxAgeMs: null,
          noticeMs: 0,
          overlapMs: 0,
          tenantPrefix: "traksense",
        },
      });
      const reader = createExplainReader({ url, name: "attack", poolMax: 1 });
      const fleet = createFleetReader({ url, name: "attack", poolMax: 1 });
      const { writer, inspector } = createMemoryLog({ partitions: 12 });
      await writer.append(TOPIC.data, [
        {
          key: address("acme", DEVICE),
          value: encodeEnvelope({
            tenant: "acme",
            deviceId: DEVICE,
            site: "hq",
            kind: "data",
            payload: Buffer.from(`{"n":1,"ts":${READ_S},"note":"${MARK}"}`),
            arrivalMs: Date.now(),
          }),
        },
      ]);
      const explain = {
        log: inspector,
        reader,
        rules: {
          futureUs: 86_400_000_000,
          earliestUs: 0,
          retentionUs: null,
          tenantPrefix: "traksense",
          partitions: 12,
        },
        rawRetentionDays: 30,
        clock: Date.now,
      };
      const uploads = {
        desk,
        objects: createMemoryObjects(Date.now),
        limits: { maxBytes: 1_000_000, maxRatio: 200, maxConcurrent: 8 },
      };
      try {
        const device = { tenant: "acme", deviceId: DEVICE, site: "hq" };
        await credentials.add([{ ...device, by: MARK, handsOver: false }]);
        await withAuth(
          (rig) =>
            use({
              ...rig,
              acmeLogIns: async () =>
                (
                  await credentials.find({
                    tenant: "acme",
                    states: ["active"],
                  })
                ).map(({ username }) => username),
            }),
          {
            deps: {
              records,
              analytics,
              view,
              uploads,
              explain,
              fleet: { reader: fleet, log: inspector },
              credentials,
              clock: Date.now,
            },
            settings: { docs: true },
          },
        );
      } finally {
        for (const one of [records, analytics, desk, view, book, reader, fleet])
          await one.close();
      }
    }),
  );
}

/** Something of acme's device in every place that a route reads. */
async function plant({ admin }: Tenancy, redisUrl: string): Promise<void> {
  const { rows } = await admin.query<{ id: number }>(
    `WITH made AS (
       INSERT INTO equipments (tenant_id, equip_uuid, equip_nome, log_partition, online, last_seen, cause)
       VALUES ('acme', $1, $2, 0, true, now(), $2) RETURNING id
     ), measured AS (
       INSERT INTO sensors (equipment_id, tenant_id, sensor_uuid, sensor_tipo, type_class)
       SELECT id, 'acme', $2, 'text', 'text' FROM made RETURNING id
     ), told AS (
       INSERT INTO events (equipment_id, time, hash, tenant_id, device_id, payload, received_at)
       SELECT id, now(), 'a', 'acme', $1, json_build_object('alarm', $2::text)::text, now() FROM made
     )
     SELECT id FROM measured`,
    [DEVICE, MARK],
  );
  await admin.query(
    `INSERT INTO store.telemetry_data (time, sensor_id, text_value) VALUES (now() - interval '1 minute', $1, $2)`,
    [rows[0]!.id, MARK],
  );
  await admin.query(
    `INSERT INTO commands (cmd_id, tenant_id, device_id, log_partition, op, requested_by, queue, state, created_at, expires_at)
     VALUES ($1, 'acme', $2, 0, $3, 'ana', false, 'queued', now(), now() + interval '1 hour')`,
    [COMMAND, DEVICE, MARK],
  );
  await admin.query(
    `INSERT INTO claims (claim_id, tenant_id, user_id, request_id, object_key, storage_type, state, errors, received_at)
     VALUES ($1, 'acme', 'ana', 'r', $2, 'filesystem', 'stored', json_build_array(json_build_object('path', '$', 'reason', $2::text))::jsonb, now())`,
    [COMMAND, MARK],
  );
  const view = createDeviceView({
    url: redisUrl,
    historySeconds: 18_000,
    clock: Date.now,
  });
  const nowS = Math.floor(Date.now() / 1000);
  const device = {
    address: address("acme", DEVICE),
    tenant: "acme",
    deviceId: DEVICE,
    site: "hq",
    equipmentId: 0,
  };
  const payload = JSON.stringify({ schema: "v1", said: MARK });
  const member = JSON.stringify({ payload: MARK, timestamp: nowS });
  try {
    await view.write({
      changes: [
        changeOf(device, [], {
          history: [{ score: nowS, member }],
          last: {
            orderUs: nowS * 1e6,
            offset: 1,
            timeUs: nowS * 1e6,
            payload,
          },
          seenUs: nowS * 1e6,
        }),
      ],
      publish: false,
      mark: null,
    });
  } finally {
    await view.close();
  }
}

test("a fleet in numbers is one's own", () =>
  withGround(async (rig) => {
    const of = async (tenant: string) => {
      const { body } = await rig.get("/fleet", rig.as("viewer", tenant));
      const { devices, dead_letters: letters } = body as FleetSummary;
      return [devices.known, letters];
    };
    assert.equal(await of("acme"), [2, 1]);
    assert.equal(await of("zeta"), [1, 1]);
    assert.equal(await of("nobody"), [0, 0]);
  }));

test("no route shows, changes or commands what is another tenant's, however its device is spelt", () =>
  withGround(async (rig) => {
    const logIns = await rig.acmeLogIns();
    assert.is(logIns.length, 1);
    const routes = await routesOf(rig);
    assert.ok(routes.length >= 28, `${routes.length} routes`);
    const zeta = { ...rig.as("admin", "zeta"), "x-tenant": "acme" };
    const ask = async (
      { method, path }: Route,
      device: string,
      headers: Record<string, string>,
      body: object | null = null,
    ) => {
      const at = addressOf(path, device);
      const url = `${at}${at.includes("?") ? "&" : "?"}tenant=acme&tenant_id=acme`;
      const answer = await rig.app.inject({
        method,
        url,
        headers:
          body === null
            ? headers
            : { ...headers, "content-type": "application/json" },
        ...(body !== null && { payload: JSON.stringify(body) }),
      });
      return { status: answer.statusCode, text: answer.body };
    };

    // acme itself finds its mark behind these, so that an answer without it means something.
    const shows: string[] = [];
    for (const route of routes.filter(({ method }) => method === "GET")) {
      const { text } = await ask(route, DEVICE, rig.as("viewer", "acme"));
      if (text.includes(MARK)) shows.push(route.path);
    }
    for (const path of [
      "/devices",
      "/devices/{id}",
      "/devices/{id}/history",
      "/devices/{id}/events",
      "/devices/{id}/explain",
      "/devices/{id}/commands",
      "/devices/{id}/commands/{cmd_id}",
      "/telemetry/claims",
      "/telemetry/claims/{claim_id}",
      "/analytics/equipment/{uuid}/history",
    ])
      assert.ok(
        shows.includes(path) || path === "/devices",
        `${path} shows acme its own: ${shows.join()}`,
      );
    const ours = await ask(
      { method: "GET", path: "/devices" },
      DEVICE,
      rig.as("viewer", "acme"),
    );
    assert.match(ours.text, DEVICE);

    let asked = 0;
    for (const route of routes) {
      const open = !route.path.includes("{");
      const bodies = route.method === "GET" ? [null] : [null, ...BODIES];
      for (const device of open ? [DEVICE] : DISGUISES)
        for (const body of bodies) {
          const { status, text } = await ask(route, device, zeta, body);
          const what = `${route.method} ${addressOf(route.path, device)} ${JSON.stringify(body)}: ${status} ${text.slice(0, 300)}`;
          asked += 1;
          assert.ok(status < 500, what);
          assert.not.match(text, MARK, what);
          if (open && route.method === "GET")
            assert.not.match(text, DEVICE, what);
          // Log-ins may be made before a device is heard of: of one that nobody knows there are none.
          if (
            route.method === "GET" &&
            !open &&
            !route.path.endsWith("/credentials")
          )
            assert.ok(status >= 400, what);
        }
    }
    assert.ok(asked > 300, `${asked} requests`);
    assert.equal(await rig.acmeLogIns(), logIns);
    // What was taken, a command to a device of that name, is zeta's own.
    const keys = rig.log.appended
      .filter(({ topic }) => topic !== "telemetry.raw")
      .map(({ record: { key } }) => key);
    assert.ok(keys.length > 0);
    for (const key of keys) assert.match(key ?? "", /^zeta\/[^/]+$/);
    for (const { topic, record: sent } of rig.log.appended)
      if (topic === "telemetry.raw")
        assert.not.match(String(sent.value), '"acme"');
  }));

test("without a token, or with one of a tenant that is no name, nothing is shown at all", () =>
  withGround(async (rig) => {
    for (const headers of [
      {},
      rig.as("admin", `acme/${DEVICE}`),
      rig.as("admin", "../acme"),
      rig.as("admin", ""),
    ])
      for (const { method, path } of await routesOf(rig)) {
        const url = addressOf(path, DEVICE);
        const { statusCode, body } = await rig.app.inject({
          method,
          url,
          headers,
        });
        assert.not.match(body, MARK, url);
        if (path.includes("{"))
          assert.is(statusCode, 401, `${method} ${url} ${body}`);
      }
  }));

test("no producer makes a device whose address is another tenant's", () => {
  const decoder = createDecoder({
    tenants: new Set(["default", "acme"]),
    futureUs: 3_600_000_000,
    earliestUs: 0,
    retentionUs: null,
    tenantPrefix: "traksense",
    partitions: 1,
  });
  const decoded = (tenant: string, deviceId: string, key: string) =>
    decoder.decode({
      ...record(1),
      partition: 0,
      key: Buffer.from(key),
      value: encodeEnvelope({
        tenant,
        deviceId,
        site: null,
        kind: "hello",
        payload: Buffer.from("1"),
        arrivalMs: THEN_MS,
      }),
    });
  const own = decoded("acme", DEVICE, `acme/${DEVICE}`);
  assert.not.ok(isDeadLetter(own), JSON.stringify(own));
  for (const [tenant, deviceId, key] of [
    ["default", `acme/${DEVICE}`, `acme/${DEVICE}`],
    ["default", `acme%2F${DEVICE}`, `acme%2F${DEVICE}`],
    ["acme/x", DEVICE, `acme/x/${DEVICE}`],
    ["", `acme/${DEVICE}`, `acme/${DEVICE}`],
    ["default", DEVICE, `acme/${DEVICE}`],
    ["acme", DEVICE, DEVICE],
  ] as const)
    assert.ok(isDeadLetter(decoded(tenant, deviceId, key)), `${tenant} ${key}`);
});

test.run();
