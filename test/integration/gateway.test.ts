/** The gateway as its own process on real services: what Redis, the database and the log hold is what it shows and takes. */
import { randomBytes } from "node:crypto";
import pg from "pg";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import { createDeviceView } from "../../src/adapters/redis/device-view.js";
import type { LogRecord } from "../../src/domain/message.js";
import { partitionOf } from "../../src/domain/partition.js";
import { changeOf, newDevice } from "../conformance/device-view.js";
import {
  freePort,
  type RoleProcess,
  runCommand,
  startRole,
} from "../support/roles.js";
import { type ServiceEnv, withServices } from "../support/services.js";
import { until } from "../support/wait.js";

const gateway = suite("gateway on real services");

interface Running {
  readonly env: ServiceEnv;
  readonly role: RoleProcess;
  readonly database: pg.Client;
  readonly get: (path: string) => Promise<Answer>;
  readonly post: (path: string, body: unknown) => Promise<Answer>;
}
interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const SERVICES = ["kafka", "redis", "postgres", "mqtt"] as const;
/** Of `iot-data` and `device-commands`, where this test is the first to make them. */
const PARTITIONS = 12;

/** A migrated database of the test's own, with everything else shared. */
async function withGatewayProcess(
  run: (running: Running) => Promise<void>,
): Promise<void> {
  await withServices(SERVICES, async (shared) => {
    const name = `gateway_${randomBytes(6).toString("hex")}`;
    const admin = new pg.Client(shared["DATABASE_URL"]);
    await admin.connect();
    await admin.query(`CREATE DATABASE ${name}`);
    const url = new URL(shared["DATABASE_URL"] ?? "");
    url.pathname = `/${name}`;
    const port = String(await freePort());
    const env = {
      ...shared,
      DATABASE_URL: url.href,
      HTTP_PORT: port,
      IOT_PARTITIONS: String(PARTITIONS),
    };
    const base = `http://127.0.0.1:${port}`;
    const answerOf = async (response: Response) => ({
      status: response.status,
      body: await response.json(),
    });
    try {
      const migrated = await runCommand(["migrate"], env);
      assert.is(migrated.code, 0, migrated.output);
      const database = new pg.Client(url.href);
      await database.connect();
      const role = await startRole("gateway", env);
      try {
        await role.ready();
        await run({
          env,
          role,
          database,
          get: async (path) => answerOf(await fetch(base + path)),
          post: async (path, body) =>
            answerOf(
              await fetch(base + path, {
                method: "POST",
                headers: { "content-type": "application/json" },
                body: JSON.stringify(body),
              }),
            ),
        });
        assert.is(await role.stop(), 0, role.output());
      } finally {
        await role.kill();
        await database.end();
      }
    } finally {
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
    }
  });
}

gateway("shows what Redis holds, pages through its history", () =>
  withGatewayProcess(async ({ env, get }) => {
    const device = newDevice();
    const view = createDeviceView({
      url: env["REDIS_URL"] ?? "",
      historySeconds: 18_000,
      clock: Date.now,
    });
    try {
      const nowUs = Date.now() * 1000 + 457;
      const times = Array.from(
        { length: 57 },
        (_, i) => (nowUs - 60_000_000 + Math.floor(i / 3) * 1_000_001) / 1e6,
      );
      const change = changeOf(device, times, {
        last: {
          orderUs: nowUs,
          offset: 1,
          timeUs: nowUs,
          payload: '{"n":123.25}',
        },
        seenUs: nowUs,
      });
      // Three messages at each instant, told apart by their payload.
      const history = change.history.map(({ score }, i) => ({
        score,
        member: JSON.stringify({
          device_id: device.deviceId,
          payload: { i },
          timestamp: score,
        }),
      }));
      await view.write({
        changes: [{ ...change, history }],
        publish: false,
        mark: null,
      });

      const shown = await get(`/devices/${device.deviceId}`);
      assert.is(shown.status, 200);
      assert.equal(shown.body, {
        device_id: device.deviceId,
        tenant: "default",
        online: true,
        last_seen: new Date(nowUs / 1000).toISOString().replace("Z", "457Z"),
        cause: null,
        timestamp: nowUs / 1e6,
        payload: { n: 123.25 },
      });
      const listed = (await get("/api/v1/devices?limit=5000")).body as {
        devices: { device_id: string }[];
      };
      assert.ok(
        listed.devices.some(({ device_id: id }) => id === device.deviceId),
      );

      const seen: number[] = [];
      let next: string | null = "";
      while (next !== null) {
        const cursor: string = next === "" ? "" : `&cursor=${next}`;
        const page = (
          await get(`/devices/${device.deviceId}/history?limit=10${cursor}`)
        ).body as {
          messages: { payload: { i: number } }[];
          next: string | null;
        };
        seen.push(...page.messages.map((message) => message.payload.i));
        next = page.next;
      }
      assert.is(seen.length, 57);
      assert.equal(
        seen.toSorted((a, b) => a - b),
        Array.from({ length: 57 }, (_, i) => i),
      );
    } finally {
      await view.close();
    }
  }),
);

gateway("a command lies on the log, whole, before its 202", () =>
  withGatewayProcess(async ({ env, role, get, post }) => {
    const { deviceId } = newDevice();
    const refused = await post(`/devices/${deviceId}/command`, { op: "x" });
    assert.is(refused.status, 409);
    const sentMs = Date.now();
    const answer = await post(`/devices/${deviceId}/command`, {
      command: "start",
      params: { speed: 3 },
      queue: true,
      note: "ü❄",
    });
    assert.is(answer.status, 202);
    const { cmd_id: cmdId, status_url: url } = answer.body as {
      cmd_id: string;
      status_url: string;
    };
    const record = await lastRecord(env, deviceId);
    const value = JSON.parse(String(record.value)) as Record<string, unknown>;
    assert.is(String(record.key), deviceId);
    assert.is(value["cmd_id"], cmdId);
    assert.is(value["op"], "start");
    assert.equal(value["extra"], { command: "start", note: "ü❄" });
    const ts = Date.parse(String(value["ts"]));
    assert.ok(ts >= sentMs && ts <= Date.now());
    assert.is(Date.parse(String(value["expires_at"])) - ts, 60_000);
    // Nobody applies it here, so it stays accepted.
    const state = (await get(url)).body as Record<string, unknown>;
    assert.is(state["state"], "accepted");
    assert.equal(state["params"], { speed: 3 });
    assert.is(
      await role.metric("commands_total", 'state="accepted"'),
      1,
      "counted",
    );
  }),
);

gateway("shows devices and commands that only the database knows", () =>
  withGatewayProcess(async ({ database, get }) => {
    const { deviceId } = newDevice();
    await database.query(
      `INSERT INTO equipments (tenant_id, equip_uuid, log_partition, last_seen, online, cause)
       VALUES ('default', $1, 0, '2026-01-15T10:00:00.5Z', false, 'silence'), ('acme', $1, 0, now(), true, NULL)`,
      [deviceId],
    );
    for (const cmdId of ["01A", "01B", "01C"])
      await database.query(
        `INSERT INTO commands (cmd_id, tenant_id, device_id, log_partition, op, params, requested_by, queue, state, ok, err,
           created_at, expires_at, history)
         VALUES ($1 || $2, 'default', $2, 0, 'stop', '[1]', 'ana', true, 'failed', false, 'jammed',
           '2026-01-15T10:00:00Z', '2026-01-15T10:01:00Z',
           '[{"state":"queued","at":"2026-01-15T10:00:00.1Z","evidence":"row"}]')`,
        [cmdId, deviceId],
      );
    const all = (await get("/devices?all=1")).body as {
      devices: { device_id: string }[];
    };
    assert.equal(
      all.devices.filter(({ device_id: id }) => id === deviceId),
      [
        {
          device_id: deviceId,
          tenant: "default",
          online: false,
          last_seen: "2026-01-15T10:00:00.500Z",
          cause: "silence",
        },
      ],
    );
    const page = (await get(`/devices/${deviceId}/commands?limit=2`)).body as {
      commands: { cmd_id: string }[];
      next: string;
    };
    assert.equal(
      page.commands.map(({ cmd_id: id }) => id.slice(0, 3)),
      ["01C", "01B"],
    );
    const rest = (
      await get(`/devices/${deviceId}/commands?limit=2&cursor=${page.next}`)
    ).body as typeof page;
    assert.equal(
      rest.commands.map(({ cmd_id: id }) => id.slice(0, 3)),
      ["01A"],
    );
    assert.equal(
      (await get(`/devices/${deviceId}/commands/01A${deviceId}`)).body,
      {
        cmd_id: `01A${deviceId}`,
        device_id: deviceId,
        op: "stop",
        params: [1],
        state: "failed",
        ok: false,
        err: "jammed",
        history: [
          { state: "queued", at: "2026-01-15T10:00:00.1Z", evidence: "row" },
        ],
        by: "ana",
        supersedes: null,
        precondition: null,
        created_at: "2026-01-15T10:00:00.000Z",
        expires_at: "2026-01-15T10:01:00.000Z",
      },
    );
    assert.is((await get(`/devices/ghost-${deviceId}`)).status, 404);
    const health = await get("/api/v1/health/detailed");
    assert.is(health.status, 200);
    const { parts } = health.body as {
      parts: { part: string; ok: boolean | null; latency_ms: number }[];
    };
    assert.equal(
      parts.map(({ part, ok }) => `${part} ${String(ok)}`),
      ["redis true", "database true", "log true", "objects true", "mqtt true"],
    );
    for (const { latency_ms: ms } of parts) assert.ok(ms > 0);
  }),
);

gateway("starts with everything away, says so, and answers 503", async () => {
  const port = String(await freePort());
  const nowhere = String(await freePort());
  const role = await startRole("gateway", {
    HTTP_PORT: port,
    KAFKA_BROKERS: `127.0.0.1:${nowhere}`,
    REDIS_URL: `redis://:hunter2@127.0.0.1:${nowhere}`,
    DATABASE_URL: `postgres://u:hunter2@127.0.0.1:${nowhere}/x`,
  });
  const get = async (path: string): Promise<Response | null> => {
    try {
      return await fetch(`http://127.0.0.1:${port}${path}`);
    } catch {
      return null; // Not listening yet.
    }
  };
  try {
    await until(async () => (await get("/health"))?.status === 200, {
      withinMs: 20_000,
      what: "the gateway to listen",
    });
    for (const path of [
      "/devices",
      "/devices/dev-1",
      "/devices/a/commands/b",
    ]) {
      const response = await get(path);
      assert.is(response?.status, 503, path);
      assert.is(response?.headers.get("retry-after"), "5");
    }
    const health = await get("/health/detailed");
    assert.is(health?.status, 503);
    assert.match(await health!.text(), "MQTT_URL is not set for this gateway");
    const ready = await until(
      async () => {
        const response = await fetch(`${role.metricsUrl}/ready`);
        const text = await response.text();
        return text.includes("redis:") ? { response, text } : null;
      },
      { withinMs: 20_000, what: "/ready to name what is away" },
    );
    assert.is(ready.response.status, 503);
    for (const part of ["redis", "database", "log"])
      assert.match(ready.text, `${part}: `);
    assert.not.match(role.output(), "hunter2");
    assert.is(await role.stop(), 0, role.output());
  } finally {
    await role.kill();
  }
});
gateway.run();

/** The newest record of `device-commands` under this key. */
async function lastRecord(env: ServiceEnv, key: string): Promise<LogRecord> {
  const inspector = createLogInspector(
    connectLog({
      brokers: (env["KAFKA_BROKERS"] ?? "").split(","),
      clientId: "gateway-test",
      log: () => undefined,
    }),
  );
  try {
    const topic = "device-commands";
    const bounds = await inspector.bounds(topic);
    const partition = partitionOf(key, bounds.length);
    const { low, high } = bounds[partition]!;
    let found: LogRecord | undefined;
    await inspector.read(
      { topic, partition, from: low, to: high },
      async (records) => {
        found = records.findLast((one) => String(one.key) === key) ?? found;
      },
      AbortSignal.timeout(20_000),
    );
    assert.ok(found, `no record of ${key} in ${topic}/${partition}`);
    return found;
  } finally {
    await inspector.close();
  }
}
