/** Limits, headers, other origins, slow clients, and the document of the routes. */
import { connect } from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import type { RateLimits } from "../../src/gateway/auth/limits.js";
import { type AuthRig, withAuth } from "../support/auth-rig.js";
import { answerOf, problemIn } from "../support/gateway-rig.js";
import { within } from "../support/wait.js";

const limits = suite("rate limits");
const edge = suite("the gateway's edge");

/** Counts as Redis does, for as many gateways as hold it. */
function memoryCounter() {
  const counts = new Map<string, number>();
  const counter = {
    counts,
    fail: false,
    async hit(key: string, windowMs: number) {
      if (counter.fail) throw new TwinstreamError("VIEW_UNREACHABLE");
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      return { count, leftMs: windowMs - 1500 };
    },
  };
  return counter;
}

const limited = (
  run: (
    rig: AuthRig,
    counter: ReturnType<typeof memoryCounter>,
  ) => Promise<void>,
  most: Partial<RateLimits>,
) => {
  const counter = memoryCounter();
  const none = { perIp: 0, perUser: 0, perLogin: 0 };
  return withAuth((rig) => run(rig, counter), {
    deps: { limits: { counter, ...none, ...most } },
  });
};

limits("past its limit an address gets 429, with when to come again", () =>
  limited(
    async (rig) => {
      for (const left of ["2", "1", "0"]) {
        const answer = await rig.get("/devices", rig.as("viewer"));
        assert.is(answer.status, 200);
        assert.is(String(answer.headers["ratelimit-limit"]), "3");
        assert.is(String(answer.headers["ratelimit-remaining"]), left);
        assert.is(String(answer.headers["ratelimit-reset"]), "59");
      }
      const refused = await rig.get("/devices", rig.as("viewer"));
      assert.is(refused.status, 429);
      assert.is(problemIn(refused).code, "RATE_LIMITED");
      assert.is(String(refused.headers["retry-after"]), "59");
      assert.is((await rig.get("/nowhere")).status, 429, "404s count too");
      assert.is((await rig.get("/health")).status, 200, "health does not");
      assert.is((await rig.get("/metrics")).status, 200);
    },
    { perIp: 3 },
  ),
);

limits("an address is counted before its token is looked at", () =>
  limited(
    async (rig) => {
      const bad = { authorization: "Bearer x" };
      assert.is((await rig.get("/devices", bad)).status, 401);
      assert.is((await rig.get("/devices", bad)).status, 429);
    },
    { perIp: 1 },
  ),
);

limits("a user is counted whatever the address, and apart from others", () =>
  limited(
    async (rig, counter) => {
      const get = (remoteAddress: string) =>
        rig.app.inject({
          url: "/devices",
          remoteAddress,
          headers: rig.as("viewer"),
        });
      assert.is((await get("10.0.0.1")).statusCode, 200);
      assert.is((await get("10.0.0.2")).statusCode, 429);
      assert.equal([...counter.counts.keys()], ["user:ana"]);
    },
    { perUser: 1 },
  ),
);

limits("log-ins are limited harder, also while Redis is away", () =>
  limited(
    async (rig, counter) => {
      const status = async () =>
        (await rig.post("/auth/login", { username: "x", password: "y" }))
          .status;
      assert.equal(
        [await status(), await status(), await status()],
        [401, 401, 429],
      );
      counter.fail = true;
      assert.equal(
        [await status(), await status(), await status()],
        [401, 401, 429],
      );
      rig.time.nowMs += 61_000;
      assert.is(await status(), 401, "the next minute");
      assert.ok(
        rig.observer.events.some(
          (event) =>
            event.type === "failure" && event.where.includes("rate limits"),
        ),
      );
    },
    { perIp: 100, perLogin: 2 },
  ),
);

limits("an IPv6 network of one client is one address", () =>
  limited(
    async (rig, counter) => {
      for (const remoteAddress of ["2001:db8::1", "2001:db8::2:3"])
        await rig.app.inject({ url: "/devices", remoteAddress });
      assert.is(counter.counts.size, 1);
    },
    { perIp: 100 },
  ),
);

limits(
  "X-Forwarded-For is believed of the proxies named, and of nobody else",
  async () => {
    for (const [trustProxy, expected] of [
      [undefined, "ip:10.0.0.1"],
      ["10.0.0.0/8", "ip:203.0.113.9"],
      ["192.168.0.1", "ip:10.0.0.1"],
    ] as const) {
      const counter = memoryCounter();
      await withAuth(
        async (rig) => {
          await rig.app.inject({
            url: "/devices",
            remoteAddress: "10.0.0.1",
            headers: { "x-forwarded-for": "1.1.1.1, 203.0.113.9" },
          });
          assert.equal([...counter.counts.keys()], [expected]);
        },
        {
          deps: { limits: { counter, perIp: 9, perUser: 0, perLogin: 0 } },
          settings: { trustProxy },
        },
      );
    }
  },
);

edge("answers carry headers that keep browsers from making pages of them", () =>
  withAuth(async (rig) => {
    // Refused for want of a token, answered, not there.
    for (const url of ["/devices", "/health", "/nowhere"]) {
      const { headers } = await rig.get(url);
      assert.is(headers["cache-control"], "no-store");
      assert.is(headers["x-frame-options"], "SAMEORIGIN");
      assert.match(
        String(headers["content-security-policy"]),
        "default-src 'none'",
      );
      assert.is(headers["x-content-type-options"], "nosniff");
      assert.is(headers["strict-transport-security"], undefined, "plain HTTP");
      assert.is(headers["access-control-allow-origin"], undefined);
    }
  }),
);

edge("behind a proxy that ends TLS browsers are told to stay with HTTPS", () =>
  withAuth(
    async (rig) => {
      const { headers } = await rig.get("/health");
      assert.is(
        headers["strict-transport-security"],
        "max-age=31536000; includeSubDomains",
      );
    },
    { settings: { trustProxy: "10.0.0.1" } },
  ),
);

edge("only the origins named may read answers from a browser", () =>
  withAuth(
    async (rig) => {
      const preflight = async (origin: string) =>
        answerOf(
          await rig.app.inject({
            method: "OPTIONS",
            url: "/devices/dev-1/command",
            headers: {
              origin,
              "access-control-request-method": "POST",
              "access-control-request-headers": "authorization,content-type",
            },
          }),
        );
      const good = await preflight("https://dash.example.com");
      assert.is(good.status, 204);
      assert.is(
        good.headers["access-control-allow-origin"],
        "https://dash.example.com",
      );
      const other = await preflight("https://evil.example.com");
      assert.is(other.headers["access-control-allow-origin"], undefined);
      const read = await rig.get("/devices", {
        ...rig.as("viewer"),
        origin: "https://dash.example.com",
      });
      assert.match(
        String(read.headers["access-control-expose-headers"]),
        "retry-after",
      );
      assert.is((await rig.post("/devices", {})).status, 405, "as before");
      assert.is((await rig.get("/nowhere")).status, 404);
    },
    { settings: { corsOrigins: ["https://dash.example.com"] } },
  ),
);

edge("a NUL in a path or query, which no column holds, is a 400", () =>
  withAuth(async (rig) => {
    for (const url of [
      "/devices/dev-1/commands?cursor=a%00b",
      "/devices/dev-1/commands/a%00b",
      "/devices/a%00b",
      "/devices?cursor=%00",
    ])
      assert.is((await rig.get(url, rig.as("viewer"))).status, 400, url);
  }),
);

edge("a head that comes a byte a second is cut off", () =>
  withAuth(async (rig) => {
    await rig.app.listen({ host: "127.0.0.1", port: 0 });
    const { port } = rig.app.server.address() as { port: number };
    const text = await within(
      20_000,
      trickle(port, "GET /health HTTP/1.1\r\nX: "),
      "the end",
    );
    assert.match(text, /^HTTP\/1\.1 408 /);
  }),
);

edge(
  "a body that comes a byte a second is cut off, with or without a token",
  () =>
    withAuth(async (rig) => {
      await rig.app.listen({ host: "127.0.0.1", port: 0 });
      const { port } = rig.app.server.address() as { port: number };
      const head = `POST /devices/dev-1/command HTTP/1.1\r\nHost: x\r\nAuthorization: ${rig.as("admin")["authorization"]}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{`;
      const text = await within(25_000, trickle(port, head), "the end");
      assert.match(text, /^HTTP\/1\.1 408 /);
      assert.match(text, "application/problem+json");
    }),
);

/** Sends the beginning at once and then a byte a second; answers what came back until the connection was closed. */
function trickle(port: number, beginning: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let received = "";
    socket.write(beginning);
    const sending = setInterval(() => socket.write("x"), 1000);
    socket.on("data", (chunk: Buffer) => (received += String(chunk)));
    // Cut off while it writes, it may be told so by an error.
    socket.on("error", () => {});
    socket.on("close", () => {
      clearInterval(sending);
      resolve(received);
    });
  });
}

/** Every address of fastify's own tree of routes, but the document's, written as OpenAPI does. */
function addressesOf(tree: string): string[] {
  const above: string[] = [];
  const all: string[] = [];
  for (const line of tree.split("\n")) {
    const [, indent, part, methods] =
      /^(.*)[├└]── (\S+)(?: \((.+)\))?$/.exec(line) ?? [];
    if (indent === undefined || part === undefined) continue;
    const depth = indent.length / 4;
    above.length = depth;
    above[depth] = part;
    if (methods !== undefined) all.push(above.join(""));
  }
  return all
    .filter((url) => !url.startsWith("/docs"))
    .map((url) => url.replaceAll(/:([^/]+)/g, "{$1}"))
    .toSorted();
}

edge(
  "/docs shows every route with its log-in and its errors, and DOCS=off nothing",
  async () => {
    await withAuth(
      async (rig) => {
        const { body, status } = await rig.get("/docs/json");
        assert.is(status, 200);
        const document = body as {
          openapi: string;
          paths: Record<
            string,
            Record<
              string,
              { security: object[]; responses: object; parameters?: object[] }
            >
          >;
          components: { securitySchemes: object };
        };
        assert.match(document.openapi, /^3\.1\./);
        assert.equal(Object.keys(document.components.securitySchemes), [
          "bearer",
        ]);
        assert.equal(
          Object.keys(document.paths).toSorted(),
          addressesOf(rig.app.printRoutes({ commonPrefix: false })),
        );
        for (const [path, methods] of Object.entries(document.paths))
          for (const [method, operation] of Object.entries(methods)) {
            const where = `${method} ${path}`;
            assert.ok("default" in operation.responses, where);
            const named = path.match(/\{/g)?.length ?? 0;
            assert.ok((operation.parameters ?? []).length >= named, where);
          }
        for (const [method, path] of [
          ["get", "/devices"],
          ["get", "/devices/{id}"],
          ["get", "/devices/{id}/history"],
          ["post", "/devices/{id}/command"],
          ["get", "/devices/{id}/commands"],
          ["get", "/devices/{id}/commands/{cmd_id}"],
          ["post", "/auth/login"],
          ["post", "/auth/refresh"],
          ["post", "/auth/logout"],
          ["get", "/health"],
          ["get", "/health/detailed"],
          ["get", "/metrics"],
        ] as const)
          for (const prefix of ["", "/api/v1"])
            assert.ok(
              document.paths[prefix + path]?.[method],
              `${method} ${prefix}${path}`,
            );
        const page = await rig.get("/docs/");
        assert.is(page.status, 200);
        const policy = String(page.headers["content-security-policy"]);
        assert.match(policy, "default-src 'self'");
        for (const [, file] of page.text.matchAll(/src="\.?\/?([^"]+\.js)"/g))
          assert.is((await rig.get(`/docs/${file}`)).status, 200, file);
      },
      { settings: { docs: true } },
    );
    await withAuth(async (rig) => {
      assert.is((await rig.get("/docs")).status, 404);
      assert.is((await rig.get("/docs/json")).status, 404);
    });
  },
);

limits.run();
edge.run();
