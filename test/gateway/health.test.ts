import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import { createDependencyHealth } from "../../src/gateway/dependency-health.js";
import { withGateway } from "../support/gateway-rig.js";
import { createMemoryObserver } from "../support/memory-readers.js";

const health = suite("health and metrics");

interface Detailed {
  status: string;
  checked_at: string;
  parts: {
    part: string;
    ok: boolean | null;
    latency_ms: number | null;
    reason: string | null;
  }[];
}

health("the gateway says that it lives, whatever it stands on", () =>
  withGateway(async (rig) => {
    rig.time.nowMs += 90_000;
    for (const url of ["/api/v1/health", "/health"]) {
      const answer = await rig.get(url);
      assert.is(answer.status, 200);
      assert.equal(answer.body, { status: "ok", uptime_s: 90 });
    }
  }),
);

health("each dependency is shown with latency and reason", () =>
  withGateway(
    async (rig) => {
      const answer = await rig.get("/api/v1/health/detailed");
      assert.is(answer.status, 503);
      const body = answer.body as Detailed;
      assert.is(body.status, "degraded");
      assert.is(body.checked_at, "2026-01-15T10:00:00.000Z");
      assert.equal(
        body.parts.map(({ part, ok, reason }) => ({ part, ok, reason })),
        [
          { part: "redis", ok: true, reason: null },
          {
            part: "database",
            ok: false,
            reason: "the database (DATABASE_URL) does not answer",
          },
          { part: "log", ok: false, reason: "failed; the log has the cause" },
        ],
      );
      for (const part of body.parts) assert.type(part.latency_ms, "number");
    },
    {
      checks: [
        { part: "redis", check: async () => {} },
        {
          part: "database",
          check: async () => {
            throw new TwinstreamError("STORE_UNREACHABLE", "10.0.0.1 refused");
          },
        },
        {
          part: "log",
          check: async () => {
            throw new Error("broker-7 has a secret");
          },
        },
      ],
    },
  ),
);

health("a part that cannot be looked at says so, and fails nothing", () =>
  withGateway(
    async (rig) => {
      const answer = await rig.get("/health/detailed");
      assert.is(answer.status, 200);
      const body = answer.body as Detailed;
      assert.is(body.status, "ok");
      assert.equal(body.parts[1], {
        part: "mqtt",
        ok: null,
        latency_ms: null,
        reason: "not looked at: MQTT_URL is not set",
      });
    },
    {
      checks: [
        { part: "redis", check: async () => {} },
        { part: "mqtt", check: "MQTT_URL is not set", needed: false },
      ],
    },
  ),
);

health(
  "what the gateway works without is shown, looked at more seldom, and no part of readiness",
  async () => {
    let greeted = 0;
    const time = { nowMs: 0 };
    const parts = createDependencyHealth({
      checks: [
        { part: "redis", check: async () => {} },
        {
          part: "mqtt",
          needed: false,
          check: async () => {
            greeted += 1;
            throw new TwinstreamError("BROKER_UNREACHABLE", "10.0.0.1 refused");
          },
        },
      ],
      observer: createMemoryObserver(),
      clock: () => time.nowMs,
    });
    for (; time.nowMs < 10_000; time.nowMs += 1000) {
      assert.is((await parts.needed()).status, "ok");
      const { status, parts: all } = await parts.all();
      assert.is(status, "degraded");
      assert.is(all[1]?.reason, "the MQTT broker (MQTT_URL) does not answer");
    }
    assert.is(greeted, 1);
    assert.is((await parts.all()).checked_at, new Date(10_000).toISOString());
    assert.is(greeted, 2);
  },
);

let asked = 0;
health("a finding is kept for a second", () =>
  withGateway(
    async (rig) => {
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => rig.get("/health/detailed")),
      );
      assert.ok(answers.every((answer) => answer.status === 200));
      assert.is(asked, 1);
      rig.time.nowMs += 1000;
      await rig.get("/health/detailed");
      assert.is(asked, 2);
    },
    {
      checks: [
        {
          part: "redis",
          check: async () => {
            asked += 1;
          },
        },
      ],
    },
  ),
);

let hung = 0;
health(
  "a dependency that never answers is not waited for, and asked once",
  () =>
    withGateway(
      async (rig) => {
        for (let i = 0; i < 2; i++) {
          const body = (await rig.get("/health/detailed")).body as Detailed;
          assert.is(body.parts[0]?.ok, false);
          assert.is(body.parts[0]?.reason, "no answer within 2000 ms");
          rig.time.nowMs += 5000;
        }
        assert.is(hung, 1);
      },
      {
        checks: [
          {
            part: "log",
            check: () => {
              hung += 1;
              return new Promise(() => {});
            },
          },
        ],
      },
    ),
);

health("metrics are there for Prometheus", () =>
  withGateway(async (rig) => {
    for (const url of ["/metrics", "/api/v1/metrics"]) {
      const answer = await rig.get(url);
      assert.is(answer.text, "a_metric 1\n");
      assert.match(String(answer.headers["content-type"]), "text/plain");
    }
  }),
);
health.run();
