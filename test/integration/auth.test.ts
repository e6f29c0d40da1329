/** Log-in on real services: users made at the command line, two gateways that share sessions and limits. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createRateCounter } from "../../src/adapters/redis/rate-limit.js";
import { openDatabase } from "../support/database.js";
import {
  freePort,
  type RoleProcess,
  runCommand,
  startRole,
} from "../support/roles.js";
import {
  type ServiceEnv,
  withOwnStack,
  withServices,
} from "../support/services.js";
import { until } from "../support/wait.js";

const test = suite("log-in on real services");
const CLI = fileURLToPath(new URL("../../src/main/cli.js", import.meta.url));
const PASSWORD = "correct horse";

/** Runs a command with something on its standard input. */
function runWith(input: string, args: readonly string[], env: ServiceEnv) {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += String(chunk)));
  child.stderr.on("data", (chunk: Buffer) => (stderr += String(chunk)));
  child.stdin.end(input);
  return new Promise<{ code: number | null; stdout: string; stderr: string }>(
    (resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })),
  );
}

const post = (base: string, path: string, body: object, token?: string) =>
  fetch(base + path, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  });
const get = (base: string, path: string, token: string) =>
  fetch(base + path, { headers: { authorization: `Bearer ${token}` } });
interface Tokens {
  access_token: string;
  refresh_token: string;
}
const tokensOf = async (response: Response) =>
  (await response.json()) as Tokens;

async function withGateways(
  shared: ServiceEnv,
  settings: ServiceEnv,
  work: (running: {
    env: ServiceEnv;
    bases: [string, string];
    roles: RoleProcess[];
  }) => Promise<void>,
): Promise<void> {
  const database = await openDatabase({ extension: "never" });
  const roles: RoleProcess[] = [];
  try {
    const env = {
      ...shared,
      DATABASE_URL: database.url,
      AUTH: "on",
      JWT_SECRET: randomBytes(32).toString("hex"),
      ...settings,
    };
    assert.is((await runCommand(["migrate"], env)).code, 0);
    const bases: string[] = [];
    for (let n = 0; n < 2; n++) {
      const port = await freePort();
      roles.push(
        await startRole("gateway", { ...env, HTTP_PORT: String(port) }),
      );
      bases.push(`http://127.0.0.1:${port}`);
    }
    for (const role of roles) await role.ready();
    await work({ env, bases: [bases[0]!, bases[1]!], roles });
    for (const role of roles) assert.is(await role.stop(), 0, role.output());
  } finally {
    for (const role of roles) await role.kill();
    await database.drop();
  }
}

test("users of the command line log in at any gateway, and a session goes on at another", () =>
  withServices(["kafka", "redis", "postgres"], (shared) =>
    withGateways(
      shared,
      { RATE_LIMIT_LOGIN: "0" },
      async ({ env, bases, roles }) => {
        const [one, two] = bases;
        const add = (name: string, ...more: string[]) =>
          runWith(`${PASSWORD}\n`, ["users", "add", name, ...more], env);
        const added = await add(
          "ana",
          "--role",
          "operator",
          "--tenant",
          "acme",
        );
        assert.is(added.code, 0, added.stderr);
        assert.not.match(added.stdout + added.stderr, PASSWORD);
        assert.match(added.stderr, '"act":"users add"');
        assert.is((await add("ana")).code, 1, "there is one already");
        assert.is((await add("a b")).code, 1);
        assert.is(
          (await runWith("short\n", ["users", "add", "bo"], env)).code,
          1,
        );
        const first = await runWith(
          "admin123",
          ["users", "add", "x", "--if-none", "--json"],
          env,
        );
        assert.is(
          (JSON.parse(first.stdout) as { added: boolean }).added,
          false,
        );
        const production = { ...env, NODE_ENV: "production" };
        const refused = await runWith(
          "admin123",
          ["users", "add", "x"],
          production,
        );
        assert.is(refused.code, 1);
        assert.match(refused.stderr, "production refuses");
        const made = await runWith(
          "",
          ["users", "add", "vic", "--generate", "--json"],
          env,
        );
        const { password } = JSON.parse(made.stdout) as { password: string };
        assert.is(password.length, 24);
        const listed = await runWith("", ["users", "list", "--json"], env);
        assert.equal(
          (
            JSON.parse(listed.stdout) as { username: string; role: string }[]
          ).map(({ username, role }) => [username, role]),
          [
            ["ana", "operator"],
            ["vic", "viewer"],
          ],
        );

        const vic = await post(one, "/api/v1/auth/login", {
          username: "vic",
          password,
        });
        assert.is(vic.status, 200);
        const session = await tokensOf(
          await post(one, "/api/v1/auth/login", {
            username: "ana",
            password: PASSWORD,
          }),
        );
        for (const base of bases)
          assert.is(
            (await get(base, "/devices?all=1", session.access_token)).status,
            200,
          );
        const next = await tokensOf(
          await post(two, "/api/v1/auth/refresh", session),
        );
        const reuse = await post(one, "/api/v1/auth/refresh", session);
        assert.is(reuse.status, 401);
        const dead = await post(two, "/api/v1/auth/refresh", next);
        assert.is(dead.status, 401, "reuse ended the family");

        const disabled = await runWith("", ["users", "disable", "vic"], env);
        assert.is(disabled.code, 0, disabled.stderr);
        const again = await post(two, "/api/v1/auth/login", {
          username: "vic",
          password,
        });
        assert.is(again.status, 401);
        const { refresh_token } = await tokensOf(vic);
        assert.is(
          (await post(two, "/api/v1/auth/refresh", { refresh_token })).status,
          401,
        );

        const lines = roles.map((role) => role.output()).join("\n");
        assert.match(lines, '"act":"login","user":"ana","tenant":"acme"');
        assert.match(lines, "a spent refresh token came again");
        for (const secret of [
          PASSWORD,
          password,
          refresh_token,
          next.access_token,
        ])
          assert.not.match(lines, secret);
      },
    ),
  ));

test("a name that failed five times is locked out at every gateway", () =>
  withServices(["kafka", "redis", "postgres"], (shared) =>
    withGateways(shared, { RATE_LIMIT_LOGIN: "0" }, async ({ env, bases }) => {
      await runWith(PASSWORD, ["users", "add", "ana"], env);
      const logIn = async (base: string, password: string) =>
        (await post(base, "/auth/login", { username: "ana", password })).status;
      for (let n = 0; n < 5; n++)
        assert.is(await logIn(bases[n % 2]!, "wrong password"), 401);
      assert.is(await logIn(bases[0], PASSWORD), 401, "right, but locked out");
      await until(async () => (await logIn(bases[1], PASSWORD)) === 200, {
        withinMs: 10_000,
        what: "the lock-out to end",
      });
    }),
  ));

test("two gateways on one Redis share their limits, and count alone when it is gone", () =>
  withOwnStack(["kafka", "redis", "postgres"], ({ env: shared, services }) =>
    withGateways(
      shared,
      { RATE_LIMIT_LOGIN: "6", RATE_LIMIT_USER: "10", RATE_LIMIT_IP: "1000" },
      async ({ env, bases }) => {
        await runWith(PASSWORD, ["users", "add", "ana"], env);
        const { access_token } = await tokensOf(
          await post(bases[0], "/auth/login", {
            username: "ana",
            password: PASSWORD,
          }),
        );
        const statuses: number[] = [];
        for (let n = 0; n < 14; n++) {
          const answer = await get(bases[n % 2]!, "/devices", access_token);
          statuses.push(answer.status);
          assert.ok(answer.headers.get("ratelimit-remaining"));
          await answer.arrayBuffer();
        }
        assert.is(statuses.filter((status) => status === 200).length, 10);
        assert.is(statuses.filter((status) => status === 429).length, 4);

        await services.redis.kill();
        const tries: number[] = [];
        for (let n = 0; n < 9; n++) {
          const answer = await post(bases[1], "/auth/login", {
            username: "x",
            password: "yyyyyyyy",
          });
          tries.push(answer.status);
        }
        assert.equal(tries, [401, 401, 401, 401, 401, 401, 429, 429, 429]);
        await services.redis.start();
      },
    ),
  ));

test("a count begins anew when its window ends", () =>
  withServices(["redis"], async ({ REDIS_URL }) => {
    const counter = createRateCounter({ url: REDIS_URL! });
    const key = `test:${randomBytes(8).toString("hex")}`;
    try {
      assert.is((await counter.hit(key, 500)).count, 1);
      const second = await counter.hit(key, 500);
      assert.is(second.count, 2);
      assert.ok(second.leftMs > 0 && second.leftMs <= 500);
      await until(async () => (await counter.hit(key, 500)).count === 1, {
        withinMs: 5000,
        what: "the next window",
      });
    } finally {
      await counter.close();
    }
  }));

test("requests of the same moment count one by one, in two processes together", () =>
  withServices(["redis"], async ({ REDIS_URL }) => {
    const counters = [1, 2].map(() => createRateCounter({ url: REDIS_URL! }));
    const name = randomBytes(8).toString("hex");
    try {
      const hits = await Promise.all(
        Array.from({ length: 300 }, async (_, i) => {
          const key = `test:${name}:${i % 3}`;
          const { count } = await counters[i % 2]!.hit(key, 60_000);
          return { key, count };
        }),
      );
      for (const at of [0, 1, 2]) {
        const counts = hits
          .filter(({ key }) => key.endsWith(`:${at}`))
          .map(({ count }) => count);
        assert.equal(
          counts.toSorted((a, b) => a - b),
          Array.from({ length: 100 }, (_, i) => i + 1),
        );
      }
    } finally {
      await Promise.all(counters.map((counter) => counter.close()));
    }
  }));

test("production asks for a secret, for log-in, and for TLS or a proxy", async () => {
  const start = async (more: Record<string, string>) => {
    const ran = await runWith("", ["gateway"], {
      NODE_ENV: "production",
      METRICS_PORT: "0",
      JWT_SECRET: "x".repeat(32),
      ...more,
    });
    assert.is(ran.code === 0, false);
    return ran.stderr + ran.stdout;
  };
  assert.match(
    await start({ AUTH: "off" }),
    "AUTH=off leaves the gateway open",
  );
  assert.match(
    await start({ JWT_SECRET: "short" }),
    "JWT_SECRET has fewer than 32",
  );
  assert.match(await start({}), "TLS_CERT and TLS_KEY");
  assert.match(
    await start({ TRUST_PROXY: "10.0.0.0/0" }),
    "TRUST_PROXY must be addresses",
  );
  assert.match(
    await start({ CORS_ORIGINS: "*" }),
    "CORS_ORIGINS must be origins",
  );
});

test.run();
