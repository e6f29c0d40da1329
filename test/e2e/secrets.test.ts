/**
 * No secret is printed: every role at LOG_LEVEL=trace, started well and against services that are not there, asked with tokens
 * and passwords right and wrong; commands with settings that they refuse. What they print, `/metrics` and every answer that is
 * a problem are searched for each secret, as it is and as URLs and base64 have it.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  freePort,
  runCommand,
  startRole,
  type RoleProcess,
} from "../support/roles.js";
import { withOwnStack } from "../support/services.js";
import { until, within } from "../support/wait.js";

const test = suite("secrets");

/** Secrets that the test chooses; no other text holds them. What URLs must escape is in them on purpose. */
const SECRET = {
  database: "pg/s3cret@word:%",
  redis: "redis-s3cret@word",
  mqtt: "mqtt-s3cret/word",
  jwt: "jwt-s3cret-of-more-than-thirty-two-characters",
  minioKey: "minio-access-s3cret",
  minioSecret: "minio-secret-s3cret",
  user: "user-s3cret-password",
  guess: "guess-s3cret-password",
};

/** Settings of which each holds a secret, at this port. */
const settingsAt = (port: string) => {
  const escaped = encodeURIComponent;
  return {
    DATABASE_URL: `postgres://app:${escaped(SECRET.database)}@127.0.0.1:${port}/none`,
    REDIS_URL: `redis://app:${escaped(SECRET.redis)}@127.0.0.1:${port}/0`,
    MQTT_URL: `mqtt://app:${escaped(SECRET.mqtt)}@127.0.0.1:${port}`,
    MQTT_ADMIN_URL: `mqtt://admin:${escaped(SECRET.mqtt)}@127.0.0.1:${port}`,
    KAFKA_BROKERS: `127.0.0.1:${port}`,
    STORAGE_TYPE: "minio",
    MINIO_ENDPOINT: `http://127.0.0.1:${port}`,
    MINIO_ACCESS_KEY: SECRET.minioKey,
    MINIO_SECRET_KEY: SECRET.minioSecret,
    JWT_SECRET: SECRET.jwt,
    AUTH: "on",
    LOG_LEVEL: "trace",
  };
};

/** Ways in which a secret may be written. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  return [
    secret,
    encodeURIComponent(secret),
    encodeURI(secret),
    JSON.stringify(secret).slice(1, -1),
    bytes.toString("base64").replaceAll("=", ""),
    bytes.toString("base64url"),
    bytes.toString("hex"),
  ];
}

function createEars() {
  const secrets = new Map(Object.entries(SECRET));
  const heard: { where: string; text: string }[] = [];
  return {
    /** One that came up on the way. */
    learn: (name: string, secret: string) => void secrets.set(name, secret),
    hear: (where: string, text: string) => void heard.push({ where, text }),
    nothingSaid(): void {
      assert.ok(secrets.size >= 8, `${secrets.size} secrets`);
      const bytes = heard.reduce((sum, { text }) => sum + text.length, 0);
      assert.ok(bytes > 2000, `only ${bytes} bytes were heard`);
      for (const { where, text } of heard)
        for (const [name, secret] of secrets)
          for (const form of formsOf(secret)) {
            const at = text.indexOf(form);
            assert.ok(
              at < 0,
              `${where} holds the secret ${name}: …${text.slice(Math.max(0, at - 200), at + form.length + 50)}`,
            );
          }
    },
  };
}
type Ears = ReturnType<typeof createEars>;

/** Every role, started against services of which none is there. */
async function withoutServices(ears: Ears): Promise<void> {
  const port = String(await freePort());
  const settings = settingsAt(port);
  const roles = await Promise.all(
    ["bridge", "processor", "gateway", "worker"].map(async (role) => {
      const http = String(await freePort());
      const process = await startRole(role, { ...settings, HTTP_PORT: http });
      return { role, process, http };
    }),
  );
  try {
    await Promise.all(
      roles.map(async ({ role, process, http }) => {
        // Whatever it does about a service that is not there, it says so or ends.
        const gone = process.ended.then(() => true);
        await until(
          () =>
            Promise.race([
              gone,
              Promise.resolve(/ECONNREFUSED/.test(process.output())),
            ]),
          { withinMs: 60_000, what: `${role} to miss its services` },
        );
        for (const path of ["/metrics", "/ready", "/alive"])
          await hearAnswer(ears, `${role} ${path}`, process.metricsUrl + path);
        if (role === "gateway") await knock(ears, `http://127.0.0.1:${http}`);
      }),
    );
  } finally {
    for (const { role, process } of roles) {
      process.signal("SIGTERM");
      await process.kill();
      ears.hear(`${role} without services`, process.output());
    }
  }
}

async function hearAnswer(
  ears: Ears,
  where: string,
  url: string,
  init?: RequestInit,
): Promise<void> {
  try {
    const answer = await fetch(url, {
      signal: AbortSignal.timeout(15_000),
      ...init,
    });
    ears.hear(where, await answer.text());
  } catch {
    // It does not listen, or takes too long: then it says nothing.
  }
}

const json = (body: unknown, headers: Record<string, string> = {}) => ({
  method: "POST",
  headers: { "content-type": "application/json", ...headers },
  body: typeof body === "string" ? body : JSON.stringify(body),
});

/** What someone sends who has no token, or a wrong one. */
async function knock(ears: Ears, base: string): Promise<void> {
  const wrong = { username: "ana", password: SECRET.guess };
  const bearer = { authorization: `Bearer ${SECRET.guess}` };
  const knocks = [
    ["a wrong log-in", "/api/v1/auth/login", json(wrong)],
    [
      "a log-in cut short",
      "/api/v1/auth/login",
      json(JSON.stringify(wrong).slice(0, -2)),
    ],
    [
      "a log-in of other types",
      "/api/v1/auth/login",
      json({ ...wrong, username: [SECRET.guess] }),
    ],
    [
      "a refresh of nobody's",
      "/api/v1/auth/refresh",
      json({ refresh_token: SECRET.guess }),
    ],
    [
      "a logout of nobody's",
      "/api/v1/auth/logout",
      json({ refresh_token: SECRET.guess }, bearer),
    ],
    ["a wrong token", "/devices", { headers: bearer }],
    [
      "a token as Basic",
      "/devices",
      {
        headers: {
          authorization: `Basic ${Buffer.from(`ana:${SECRET.guess}`).toString("base64")}`,
        },
      },
    ],
    [
      "a token in the query",
      `/devices?token=${SECRET.guess}&access_token=${SECRET.guess}`,
      {},
    ],
    ["a ticket in the query", `/live?ticket=${SECRET.guess}`, {}],
    [
      "a cookie",
      "/devices",
      { headers: { cookie: `session=${SECRET.guess}` } },
    ],
    ["health", "/api/v1/health/detailed", {}],
  ] as const;
  // All at once: without a database each may wait for its time-out.
  await Promise.all(
    knocks.map(([where, path, init]) =>
      hearAnswer(ears, where, base + path, init),
    ),
  );
}

/** All roles on services that are there: users, tokens, a device's password. */
async function withServices(ears: Ears): Promise<void> {
  await withOwnStack(
    ["kafka", "redis", "postgres", "mqtt"],
    async (stack) => {
      const http = String(await freePort());
      // The stack's own passwords, as they stand in its URLs.
      for (const [name, value] of Object.entries(stack.env)) {
        const password = URL.canParse(value) ? new URL(value).password : "";
        if (password !== "") ears.learn(name, decodeURIComponent(password));
      }
      const env = {
        ...settingsAt("1"),
        ...stack.env,
        STORAGE_TYPE: "filesystem",
        HTTP_PORT: http,
      };
      const command = async (args: string[], input = "") => {
        const ran = await runCommand(args, env, input);
        ears.hear(`twinstream ${args.join(" ")}`, ran.output);
        return ran;
      };
      for (const args of [["migrate"], ["devices", "init"]]) {
        const { code, output } = await command(args);
        assert.is(code, 0, output);
      }
      const added = await runCommand(
        ["users", "add", "ana", "--role", "admin", "--generate", "--json"],
        env,
      );
      const password = /"password":"([^"]+)"/.exec(added.output)?.[1];
      assert.ok(password, added.output);
      ears.learn("a generated password", password);
      const roles: [string, RoleProcess][] = [];
      try {
        for (const role of ["bridge", "processor", "gateway", "worker"]) {
          const process = await startRole(role, env);
          roles.push([role, process]);
          await process.ready(60_000);
        }
        const base = `http://127.0.0.1:${http}`;
        await knock(ears, base);
        await behindLogIn(ears, base, password);
        // The database goes: what fails then has its URL at hand.
        await stack.services.postgres.stop();
        await stack.services.redis.stop();
        await hearAnswer(
          ears,
          "a log-in without a database",
          `${base}/api/v1/auth/login`,
          json({ username: "ana", password }),
        );
        await knock(ears, base);
        for (const [role, { metricsUrl }] of roles)
          for (const path of ["/metrics", "/ready"])
            await hearAnswer(ears, `${role} ${path}`, metricsUrl + path);
        await command(["check"]);
        await command(["migrate"]);
      } finally {
        // Their stores are gone: they end at their deadlines, each for itself.
        await Promise.all(
          roles.map(async ([role, process]) => {
            await process.stop();
            ears.hear(role, process.output());
          }),
        );
      }
    },
    { logIn: true },
  );
}

async function behindLogIn(
  ears: Ears,
  base: string,
  password: string,
): Promise<void> {
  const post = async (path: string, body: unknown, headers = {}) => {
    const answer = await fetch(base + path, json(body, headers));
    const text = await answer.text();
    return {
      status: answer.status,
      text,
      body: JSON.parse(text || "{}") as Record<string, string>,
    };
  };
  const first = await post("/api/v1/auth/login", { username: "ana", password });
  assert.is(first.status, 200, first.text);
  const bearer = { authorization: `Bearer ${first.body["access_token"]}` };
  ears.learn("an access token", first.body["access_token"]!);
  ears.learn("a refresh token", first.body["refresh_token"]!);
  const refresh = { refresh_token: first.body["refresh_token"] };
  const second = await post("/api/v1/auth/refresh", refresh);
  assert.is(second.status, 200);
  ears.learn("a second access token", second.body["access_token"]!);
  ears.learn("a second refresh token", second.body["refresh_token"]!);
  const again = await post("/api/v1/auth/refresh", refresh);
  assert.is(again.status, 401, "its reuse ends the family");
  ears.hear("a refresh token used again", again.text);
  const device = await post("/devices/dev-1/credentials", {}, bearer);
  assert.is(device.status, 201, device.text);
  ears.learn("a device's password", device.body["password"]!);
  const rotated = await post("/devices/dev-1/credentials/rotate", {}, bearer);
  assert.is(rotated.status, 201, rotated.text);
  ears.learn("a device's second password", rotated.body["password"]!);
  for (const path of [
    "/devices/dev-1/credentials",
    "/devices",
    "/devices/none",
    "/nothing/here",
    "/docs/json",
  ])
    await hearAnswer(ears, path, base + path, { headers: bearer });
  const refused = await post(
    "/devices/dev-1/command",
    { op: "\u0000" },
    bearer,
  );
  ears.hear("a refused command", refused.text);
  await post(
    "/api/v1/auth/logout",
    { refresh_token: second.body["refresh_token"] },
    bearer,
  );
}

/** Settings that are refused, and commands that cannot reach what they are to work on. */
async function refusedSettings(ears: Ears): Promise<void> {
  const settings = settingsAt(String(await freePort()));
  for (const [what, over, args] of [
    ["bad numbers", { DB_POOL_MAX: "many", HTTP_PORT: "-1" }, ["gateway"]],
    [
      "production",
      { NODE_ENV: "production", JWT_SECRET: SECRET.jwt.slice(0, 20) },
      ["gateway"],
    ],
    [
      "no URL",
      {
        DATABASE_URL: `no url ${SECRET.database}`,
        REDIS_URL: `:${SECRET.redis}`,
        MQTT_URL: SECRET.mqtt,
      },
      ["processor"],
    ],
    [
      "a URL of another scheme",
      {
        DATABASE_URL: `mysql://a:${encodeURIComponent(SECRET.database)}@h/x`,
        REDIS_URL: `http://a:${SECRET.redis}@h`,
      },
      ["migrate"],
    ],
    [
      "a password that was not escaped",
      { DATABASE_URL: `postgres://app:${SECRET.database}@127.0.0.1:1/none` },
      ["migrate"],
    ],
    ["an empty secret", { JWT_SECRET: "" }, ["migrate"]],
    ["nobody there", {}, ["migrate"]],
    ["nobody there", {}, ["check"]],
    ["nobody there", {}, ["users", "list"]],
    ["nobody there", {}, ["devices", "list"]],
    ["nobody there", {}, ["offsets", "show"]],
  ] as const) {
    const ran = await within(
      60_000,
      runCommand(args, { ...settings, ...over }),
      `twinstream ${args.join(" ")} to end`,
    );
    ears.hear(`${what}: twinstream ${args.join(" ")}`, ran.output);
  }
}

const saysNone = (work: (ears: Ears) => Promise<void>) => async () => {
  const ears = createEars();
  await work(ears);
  ears.nothingSaid();
};

test(
  "none is in what a command says of settings that it refuses, or of services that are not there",
  saysNone(refusedSettings),
);
test(
  "none is in what the roles say without services, to their log, their metrics or their clients",
  saysNone(withoutServices),
);
test(
  "none is in what the roles say at work, of log-ins, tokens and devices' passwords, and when their stores go",
  saysNone(withServices),
);

test.run();
