/** What the documents say of the program is what the program does. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Settings } from "../src/config.js";
import { DEAD_LETTER_REASONS, ERRORS, TwinstreamError } from "../src/errors.js";
import { loadConfig } from "../src/config.js";

const test = suite("documents");
const readme = readFileSync(resolve("README.md"), "utf8");
const example = readFileSync(resolve("deploy/.env.example"), "utf8");
const settings = Object.entries(
  Settings.properties as Record<
    string,
    { default?: string | number | boolean; description?: string }
  >,
);
const flat = (text: string): string => text.replaceAll(/[\s\\]+/g, " ");

test("the README's table has every setting with its default and what it is for", () => {
  const rows = new Map(
    [...readme.matchAll(/^\| `([A-Z_]+)` +\| (.*?) +\| (.*?) +\|$/gm)].map(
      ([, name, value, what]) => [name, { value, what }],
    ),
  );
  assert.ok(settings.length > 40);
  for (const [name, { default: value, description }] of settings) {
    const row = rows.get(name);
    assert.ok(row, `${name} is missing`);
    assert.is(flat(row!.what!), flat(description ?? ""), name);
    if (value !== undefined && name !== "PROCESSOR_ID")
      assert.is(row!.value, `\`${String(value)}\``, name);
  }
  for (const name of rows.keys())
    assert.ok(name! in Settings.properties, `${name} is no setting`);
});

test(".env.example has every setting with its default", () => {
  for (const [name, { default: value }] of settings) {
    const line = new RegExp(`^#${name}=(.*)$`, "m").exec(example);
    assert.ok(line, `${name} is missing`);
    if (value !== undefined && name !== "PROCESSOR_ID")
      assert.is(line![1], String(value), name);
  }
});

test("links of the README lead somewhere", () => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)];
  assert.ok(links.length > 0);
  for (const [, path] of links)
    assert.ok(existsSync(resolve(path!)), `${path} is not there`);
});

test("every command that the README names exists", () => {
  const named = [...readme.matchAll(/`twinstream ([a-z]+)/g)].map(([, n]) => n);
  const cli = readFileSync(resolve("src/main/cli.ts"), "utf8");
  const sources = [
    "adapters",
    "check",
    "claims",
    "devices",
    "explain",
    "ledger",
    "dlq",
    "drill",
    "offsets",
    "quarantine",
    "simulate",
    "store",
    "tenants",
    "users",
    "validate",
  ].map((name) => readFileSync(resolve(`src/main/${name}.ts`), "utf8"));
  assert.ok(named.length > 5);
  for (const name of named)
    assert.ok(
      [cli, ...sources].some((text) => text.includes(`"${name}"`)),
      `twinstream ${name}`,
    );
});

test("a bad setting is named with what it may be and what it was, and all are named at once", () => {
  const refused = (env: Record<string, string>): string => {
    try {
      loadConfig(env);
    } catch (error) {
      assert.ok(error instanceof TwinstreamError);
      assert.is(error.code, "CONFIG_INVALID");
      return error.message;
    }
    return "";
  };
  const text = refused({ HTTP_PORT: "http", LOG_LEVEL: "loud", MQTT_QOS: "2" });
  assert.match(text, 'HTTP_PORT must be integer; it was "http"');
  assert.match(text, "LOG_LEVEL");
  assert.match(text, "one of trace, debug, info");
  assert.match(text, "MQTT_QOS");
  assert.match(refused({ TLS_CERT: "x" }), "TLS_KEY");
  assert.match(refused({ EARLIEST_TIME: "soon" }), "EARLIEST_TIME");
  const production = refused({ NODE_ENV: "production" });
  assert.match(production, "JWT_SECRET has its laptop default");
  assert.not.match(
    refused({ DATABASE_URL: "", DB_POOL_MIN: "30" }),
    "DATABASE_URL",
  );
  assert.is(loadConfig({ HTTP_PORT: "" }).HTTP_PORT, 8000);
});

test("the dead-letter reasons are the closed list, and every error says what to do or that trying again may help", () => {
  assert.is(new Set(DEAD_LETTER_REASONS).size, 14);
  for (const [code, entry] of Object.entries(ERRORS))
    assert.ok(entry.message.length > 10, code);
});

test.run();
