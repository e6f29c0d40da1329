/** Who is let in, with which token, to which route. */
import { createSign, generateKeyPairSync } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createKnownTokens } from "../../src/gateway/auth/known-tokens.js";
import { token, withAuth, type AuthRig } from "../support/auth-rig.js";
import { answerOf, NOW_S, problemIn } from "../support/gateway-rig.js";

const tokens = suite("access tokens");

/** Every route with a method of its own, from the document that the gateway makes of itself. */
async function routesOf(rig: AuthRig) {
  const { body } = await rig.get("/docs/json");
  const { paths } = body as {
    paths: Record<string, Record<string, { security: object[] }>>;
  };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { security }]) => ({
      method: method.toUpperCase() as "GET" | "POST" | "PUT" | "DELETE",
      url: path.replaceAll(/\{[^}]+\}/g, "dev-1"),
      open: security.length === 0,
    })),
  );
}
const DOCUMENTED = { settings: { docs: true } };

const withToken = (text: string) => ({ authorization: `Bearer ${text}` });

tokens("every route but health, log-in, refresh and metrics asks for one", () =>
  withAuth(async (rig) => {
    const routes = await routesOf(rig);
    const open = routes.filter((route) => route.open);
    assert.equal(
      [...new Set(open.map(({ url }) => url.replace("/api/v1", "")))],
      [
        "/health",
        "/health/detailed",
        "/metrics",
        "/auth/login",
        "/auth/refresh",
      ],
    );
    assert.ok(routes.length > 20, `${routes.length} routes`);
    for (const { method, url } of routes.filter((one) => !one.open)) {
      const answer = answerOf(await rig.app.inject({ method, url }));
      assert.is(answer.status, 401, `${method} ${url}`);
      assert.is(problemIn(answer).code, "UNAUTHENTICATED");
      assert.is(answer.headers["www-authenticate"], "Bearer");
      assert.match(
        String(answer.headers["content-type"]),
        "application/problem+json",
      );
    }
  }, DOCUMENTED),
);

tokens("the gateway's own is taken, with its claims alone", () =>
  withAuth(async (rig) => {
    const answer = await rig.get("/devices", rig.as("viewer"));
    assert.is(answer.status, 200);
    const given = await rig.get(
      "/devices?tenant=acme",
      rig.as("viewer", "globex"),
    );
    assert.is(given.status, 200);
  }),
);

tokens(
  "one that is forged, changed, expired or for somebody else is refused",
  () =>
    withAuth(async (rig) => {
      const nowS = Math.floor(Date.now() / 1000);
      const good = token();
      const [head, body, signature] = good.split(".");
      const raised = Buffer.from(
        JSON.stringify({
          ...(JSON.parse(String(Buffer.from(body!, "base64url"))) as object),
          role: "admin",
        }),
      ).toString("base64url");
      const bad: Record<string, string> = {
        expired: token({ iat: nowS - 120, exp: nowS - 60 }),
        "for ever": token({ exp: undefined }),
        "not yet": token({ nbf: nowS + 600 }),
        "alg none": token({}, { header: { alg: "none" }, signature: "" }),
        "alg NONE": token({}, { header: { alg: "NONE" }, signature: "" }),
        "other secret": token({}, { secret: "x".repeat(40) }),
        "no secret": token({}, { secret: "" }),
        "other issuer": token({ iss: "elsewhere" }),
        "other audience": token({ aud: "elsewhere" }),
        "no tenant": token({ tenant: undefined }),
        "a tenant that is none": token({ tenant: "a/b" }),
        "unknown role": token({ role: "root" }),
        "role of every object": token({ role: "toString" }),
        "claims changed": `${head}.${raised}.${signature}`,
        "signature cut": `${head}.${body}.`,
        nothing: "",
        "three dots": "...",
        long: "x".repeat(5000),
      };
      for (const [what, text] of Object.entries(bad)) {
        const answer = await rig.get("/devices", withToken(text));
        assert.is(answer.status, 401, what);
        assert.is(problemIn(answer).code, "UNAUTHENTICATED", what);
      }
      assert.match(
        problemIn(await rig.get("/devices", withToken(bad["expired"]!))).detail,
        "has expired",
      );
      for (const authorization of ["Basic YTpi", "Bearer", good])
        assert.is((await rig.get("/devices", { authorization })).status, 401);
    }),
);

tokens("one that is known is refused again once it has expired", () => {
  const time = { nowMs: 5000 };
  const known = createKnownTokens(() => time.nowMs);
  const ana = { username: "ana", tenant: "acme", role: "viewer" } as const;
  assert.is(known.find("Bearer a"), null);
  known.add("Bearer a", ana, 6000);
  assert.equal(known.find("Bearer a"), { user: ana, untilMs: 6000 });
  assert.is(known.find("bearer a"), null, "as it came, or it is looked at");
  time.nowMs = 6001;
  assert.is(known.find("Bearer a"), null);
  time.nowMs = 5000;
  assert.is(known.find("Bearer a"), null, "and is forgotten");
});

tokens("of those known the oldest goes first", () => {
  const known = createKnownTokens(Date.now, 2);
  const ana = { username: "ana", tenant: "acme", role: "viewer" } as const;
  for (const header of ["one", "two", "three"])
    known.add(header, ana, Date.now() + 60_000);
  assert.is(known.find("one"), null);
  assert.equal(known.find("two")?.user, ana);
  assert.equal(known.find("three")?.user, ana);
});

tokens("one that was taken is not taken with another's name in it", () =>
  withAuth(async (rig) => {
    const good = token();
    assert.is((await rig.get("/devices", withToken(good))).status, 200);
    assert.is((await rig.get("/devices", withToken(good))).status, 200);
    const [head, , signature] = good.split(".");
    const claims = token({ role: "admin" }).split(".")[1];
    const changed = `${head}.${claims}.${signature}`;
    assert.is((await rig.get("/devices", withToken(changed))).status, 401);
    const expired = token({ exp: Math.floor(Date.now() / 1000) - 60 });
    for (const _ of [1, 2])
      assert.is((await rig.get("/devices", withToken(expired))).status, 401);
  }),
);

tokens("algorithms cannot be mixed", () =>
  withAuth(async (rig) => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    const header = { alg: "RS256", typ: "JWT" };
    const unsigned = token({}, { header, signature: "" }).slice(0, -1);
    const signature = createSign("RSA-SHA256")
      .update(unsigned)
      .sign(privateKey, "base64url");
    for (const text of [
      `${unsigned}.${signature}`,
      token({}, { header }),
      token({}, { secret: publicKey }),
      token({}, { header: { alg: "HS512", typ: "JWT" } }),
    ]) {
      const answer = await rig.get("/devices", withToken(text));
      assert.is(answer.status, 401, text.slice(0, 40));
    }
  }),
);

tokens("a viewer reads, an operator commands too, and nobody less", () =>
  withAuth(async (rig) => {
    await rig.view.putOnline({ "dev-1": NOW_S });
    const command = (headers: Record<string, string>) =>
      rig.post("/devices/dev-1/command", { op: "stop", by: "boss" }, headers);
    const refused = await command(rig.as("viewer"));
    assert.is(refused.status, 403);
    assert.is(problemIn(refused).code, "FORBIDDEN");
    assert.is(rig.log.appended.length, 0);
    for (const role of ["operator", "admin"] as const)
      assert.is((await command(rig.as(role))).status, 202, role);
    const value = JSON.parse(String(rig.log.appended[0]?.record.value)) as {
      by: string;
      tenant: string;
    };
    assert.is(value.by, "ana", "who is logged in, not who the body says");
    assert.is(value.tenant, "default");
  }),
);

tokens("another tenant's device is not there, on any route", () =>
  withAuth(async (rig) => {
    await rig.view.putOnline({ "dev-1": NOW_S });
    await rig.view.putLast("dev-1", { payload: "{}", timestamp: NOW_S });
    const foreign = rig.as("admin", "globex");
    assert.is((await rig.get("/devices/dev-1", rig.as("viewer"))).status, 200);
    assert.equal((await rig.get("/devices", foreign)).body, {
      devices: [],
      next: null,
    });
    for (const route of await routesOf(rig)) {
      if (route.open || !route.url.includes("dev-1")) continue;
      const payload = { POST: { op: "stop" }, PUT: { adapter: "plain" } };
      const { method } = route;
      const answer = answerOf(
        await rig.app.inject({
          ...route,
          headers: foreign,
          ...((method === "POST" || method === "PUT") && {
            payload: payload[method],
          }),
        }),
      );
      // A command to a device that is not online is a conflict, known or not.
      const expected = route.url.endsWith("/command") ? 409 : 404;
      if (answer.status !== 404)
        assert.is(answer.status, expected, `${route.method} ${route.url}`);
    }
    assert.is(rig.log.appended.length, 0);
  }, DOCUMENTED),
);

tokens("without log-in everybody is an admin of the default tenant", () =>
  withAuth(
    async (rig) => {
      assert.is((await rig.get("/devices")).status, 200);
      assert.is((await rig.post("/auth/login", {})).status, 404);
    },
    { deps: { auth: undefined } },
  ),
);

tokens("what is not there is a 404 and a wrong method a 405 to anybody", () =>
  withAuth(async (rig) => {
    assert.is((await rig.get("/nowhere")).status, 404);
    assert.is((await rig.post("/devices", {})).status, 405);
  }),
);

tokens.run();
