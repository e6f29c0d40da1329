/** The gateway's own description of its routes, turned against it: nothing that a client may send is answered with a 500. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { withDatabase } from "../support/database.js";
import { freePort, runCommand, startRole } from "../support/roles.js";
import { ENDLESS, fuzz, whyNoSchemathesis } from "../support/schemathesis.js";
import { withServices } from "../support/services.js";

const all = suite("requests made from the OpenAPI document");
const missing = await whyNoSchemathesis();
if (missing !== null) console.log(`skipped: API fuzz: ${missing}`);
const test = missing === null ? all : all.skip;

/** On two idle cores they are enough for 1,500 requests. */
const SECONDS = 30;

test("a 500 is found where there is one", async () => {
  const server = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    if (request.url === "/openapi.json")
      return response.end(
        JSON.stringify({
          openapi: "3.1.0",
          info: { title: "broken", version: "1" },
          paths: { "/broken": { get: { responses: { 200: {} } } } },
        }),
      );
    response.statusCode = 500;
    return response.end("{}");
  });
  const port = await freePort();
  await new Promise<void>((listening) =>
    server.listen(port, "127.0.0.1", listening),
  );
  try {
    const url = `http://127.0.0.1:${port}/openapi.json`;
    const { ok, report } = await fuzz(url, {}, 5);
    assert.is(ok, false, report);
    assert.match(report, "/broken");
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

/** What is left out of the fuzz is the live stream alone, which does begin at once, and refuses at once. */
async function beginsEndlessly(
  base: string,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const document = await fetch(`${base}/docs/json`);
  const { paths } = (await document.json()) as { paths: object };
  const endless = Object.keys(paths).filter((path) => ENDLESS.test(path));
  assert.equal(endless.toSorted(), ["/api/v1/live", "/live"]);
  for (const path of endless)
    for (const [query, status] of [
      ["", 200],
      ["?device=%00", 400],
      ["?last_event_id=x", 400],
      [`?device=${"a".repeat(129)}`, 400],
    ] as const) {
      const soon = AbortSignal.timeout(10_000);
      const stream = await fetch(base + path + query, {
        headers,
        signal: soon,
      });
      assert.is(stream.status, status, path + query);
      await stream.body?.cancel();
    }
  console.log(
    `\nskipped: API fuzz of ${endless.join(" and ")}: a live stream has no end; that it begins and refuses at once was looked at`,
  );
}

test("no route of the gateway answers 500, logged in as an admin", () =>
  withServices(["kafka", "redis", "postgres"], (shared) =>
    withDatabase({}, async ({ url }) => {
      const folder = await mkdtemp(join(tmpdir(), "twinstream-fuzz-"));
      const port = String(await freePort());
      const env = {
        ...shared,
        DATABASE_URL: url,
        HTTP_PORT: port,
        STORAGE_PATH: folder,
        AUTH: "on",
        RATE_LIMIT_LOGIN: "0",
        RATE_LIMIT_USER: "0",
      };
      const base = `http://127.0.0.1:${port}`;
      const migrated = await runCommand(["migrate"], env);
      assert.is(migrated.code, 0, migrated.output);
      const added = await runCommand(
        ["users", "add", "fuzz", "--role", "admin", "--generate", "--json"],
        env,
      );
      assert.is(added.code, 0, added.output);
      const account = JSON.parse(
        added.output.split("\n").find((line) => line.includes("password")) ??
          "{}",
      ) as { username: string; password: string };
      const role = await startRole("gateway", env);
      try {
        await role.ready();
        const login = await fetch(`${base}/api/v1/auth/login`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({
            username: account.username,
            password: account.password,
          }),
        });
        const { access_token: token } = (await login.json()) as {
          access_token: string;
        };
        const headers = { authorization: `Bearer ${token}` };
        const devices = await fetch(`${base}/devices`, { headers });
        assert.is(devices.status, 200, "the token is good");

        await beginsEndlessly(base, headers);
        const found = await fuzz(`${base}/docs/json`, headers, SECONDS);
        assert.ok(found.ok, `${found.report}\n${role.output()}`);
        console.log(`${found.cases} requests, none answered with a 500`);
        assert.ok(found.cases > 100, found.report);
      } finally {
        await role.kill();
        await rm(folder, { recursive: true, force: true });
      }
    }),
  ));

all.run();
