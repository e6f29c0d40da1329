import { Counter, Registry } from "prom-client";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type MetricsServer,
  startMetricsServer,
} from "../../src/observe/metrics-server.js";
import {
  createReadiness,
  type Readiness,
} from "../../src/observe/readiness.js";

async function withServer(
  run: (server: MetricsServer, readiness: Readiness) => Promise<void>,
): Promise<void> {
  const registry = new Registry();
  new Counter({ name: "a_total", help: "a", registers: [registry] }).inc(3);
  const readiness = createReadiness(["redis", "log"]);
  const server = await startMetricsServer({
    host: "127.0.0.1",
    port: 0,
    registry,
    readiness,
  });
  try {
    await run(server, readiness);
  } finally {
    await server.close();
  }
}

const suiteOf = suite("metrics server");

suiteOf("serves the registry", () =>
  withServer(async ({ url }) => {
    const response = await fetch(`${url}/metrics`);
    assert.is(response.status, 200);
    assert.match(response.headers.get("content-type") ?? "", "text/plain");
    assert.match(await response.text(), "\na_total 3\n");
  }),
);

suiteOf("is ready once every part says so, and says which is not and why", () =>
  withServer(async ({ url }, readiness) => {
    const ready = async () => {
      const response = await fetch(`${url}/ready`);
      return { status: response.status, body: await response.json() };
    };
    assert.equal(await ready(), {
      status: 503,
      body: {
        ready: false,
        parts: [
          { part: "redis", ok: false, reason: "starting" },
          { part: "log", ok: false, reason: "starting" },
        ],
      },
    });
    readiness.report({ part: "redis", ok: true, reason: null });
    readiness.report({ part: "log", ok: true, reason: null });
    assert.is((await ready()).status, 200);
    readiness.report({ part: "lane 3", ok: false, reason: "waits for redis" });
    assert.is((await ready()).status, 503);
    readiness.forget("lane 3");
    assert.is((await ready()).status, 200);
  }),
);

suiteOf("a process with no parts is not ready", () => {
  assert.is(createReadiness([]).state().ready, false);
});

suiteOf("is alive, and knows nothing else", () =>
  withServer(async ({ url }) => {
    assert.is((await fetch(`${url}/alive?x=1`)).status, 200);
    assert.is((await fetch(`${url}/else`)).status, 404);
    assert.is((await fetch(`${url}/alive`, { method: "POST" })).status, 405);
    assert.is((await fetch(`${url}/alive`, { method: "HEAD" })).status, 200);
  }),
);

suiteOf("an address that is taken is an error, not a silence", () =>
  withServer(async ({ url }) => {
    try {
      await startMetricsServer({
        host: "127.0.0.1",
        port: Number(new URL(url).port),
        registry: new Registry(),
        readiness: createReadiness([]),
      });
      assert.unreachable("listened on a port that is taken");
    } catch (error) {
      assert.match(String(error), "EADDRINUSE");
    }
  }),
);
suiteOf.run();
