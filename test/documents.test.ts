/** What the documents say of the program is what the program does. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Settings } from "../src/config.js";
import { DEAD_LETTER_REASONS, ERRORS, TwinstreamError } from "../src/errors.js";
import { loadConfig } from "../src/config.js";
import { createProgram } from "../src/main/program.js";
import { SCENARIOS } from "./faults/registry.js";

const test = suite("documents");
const readme = readFileSync(resolve("README.md"), "utf8");
const example = readFileSync(resolve("deploy/.env.example"), "utf8");
const settings = Object.entries(
  Settings.properties as Record<
    string,
    { default?: string | number | boolean; description?: string }
  >,
);
/** By path: the README, what stands beside it, and the pages under deploy. */
const documents: [string, string][] = [
  ...readdirSync(".").filter((name) => name.endsWith(".md")),
  ...readdirSync("deploy", { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("deploy", name)),
].map((path) => [path, readFileSync(resolve(path), "utf8")]);
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

test("links between the documents lead to files and headings that are there", () => {
  let links = 0;
  for (const [path, text] of documents)
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      links += 1;
      const [file, heading] = target!.split("#", 2);
      const found = file === "" ? path : join(dirname(path), file!);
      assert.ok(existsSync(found), `${path}: ${target} is not there`);
      if (heading !== undefined)
        assert.ok(
          headingsOf(readFileSync(found, "utf8")).includes(heading),
          `${path}: ${target} has no such heading`,
        );
    }
  assert.ok(links > 10, `${links} links`);
});

/** As they are linked to. */
const headingsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );

test("every command that the documents name exists, with its options", () => {
  const program = createProgram();
  let named = 0;
  for (const [path, text] of documents)
    for (const line of commandsIn(text)) {
      named += 1;
      const fault = faultIn(program, line);
      assert.is(fault, null, `${path}: twinstream ${line.join(" ")}: ${fault}`);
    }
  assert.ok(named > 40, `${named} commands`);
});

/** The words after `twinstream` in code, up to what ends a command of a shell. */
function commandsIn(text: string): string[][] {
  const code = [
    ...[...text.matchAll(/```(?:sh|text)?\n([\s\S]*?)```/g)].flatMap(
      ([, block]) => block!.split("\n"),
    ),
    ...[...text.matchAll(/(?<!`)`([^`\n]+)`(?!`)/g)].map(
      ([, inline]) => inline!,
    ),
  ];
  return code.flatMap((line) =>
    [...line.matchAll(/(?:^|[\s;|=(])twinstream ((?:[^\s#;&)]+ ?)+)/g)].map(
      ([, words]) => words!.trim().split(/ +/),
    ),
  );
}

/** What of a command line is not so; null when all is. `a|b` stands for either. */
function faultIn(program: Command, words: readonly string[]): string | null {
  let at: Command = program;
  for (const word of words) {
    if (word.startsWith("--")) {
      const [name] = word.split("=");
      if (name !== "--help" && !at.options.some(({ long }) => long === name))
        return `no option ${name}`;
      continue;
    }
    if (at.commands.length === 0) continue;
    const under = word
      .replaceAll(/[[\](){}…]/g, "")
      .split("|")
      .map((name) => at.commands.find((each) => each.name() === name));
    if (under[0] === undefined || under.includes(undefined))
      return `no command ${word}`;
    at = under[0];
  }
  return null;
}

test("every route that the documents name is one of the gateway's", () => {
  const literals = readdirSync("src/gateway", {
    recursive: true,
    encoding: "utf8",
  })
    .filter((file) => /\.tsx?$/.test(file))
    .flatMap((file) => [
      ...readFileSync(join("src/gateway", file), "utf8").matchAll(
        /"(\/[\w/:.-]*)"/g,
      ),
    ])
    .map(([, route]) => route!);
  const routes = literals.map(
    (route) => new RegExp(`^(/api/v1)?${route.replaceAll(/:\w+/g, "[^/]+")}$`),
  );
  let named = 0;
  for (const [path, text] of documents)
    for (const [, asked] of text.matchAll(
      /(?:(?:GET|POST|PUT|DELETE|PATCH) |\$HTTP_URL)(\/[^\s`"?,]*)/g,
    )) {
      named += 1;
      assert.ok(
        routes.some((route) => route.test(asked!)),
        `${path} names ${asked}`,
      );
    }
  assert.ok(named > 25, `${named} routes`);
});

test("every scenario of the fault suite that the README names is one", () => {
  const chapter = /## What it promises[\s\S]*?(?=\n## )/.exec(readme)![0];
  const named = [...chapter.matchAll(/`([a-z]+(?:-[a-z0-9*]+)+)`/g)].map(
    ([, name]) => name!,
  );
  assert.ok(named.length > 20);
  for (const name of named) {
    const pattern = new RegExp(`^${name.replaceAll("*", ".+")}$`);
    assert.ok(
      SCENARIOS.some((scenario) => pattern.test(scenario.name)),
      name,
    );
  }
});

test("the table of errors has each that the gateway answers with, as it answers", () => {
  const text = readFileSync("deploy/http.md", "utf8");
  const rows = new Map(
    [
      ...text.matchAll(
        /^\| (\d+) +\| `([A-Z_]+)` +\| (yes|–) +\| (.*?) +\|$/gm,
      ),
    ].map(([, status, code, again, message]) => [
      code!,
      { status, again, message },
    ]),
  );
  for (const [code, entry] of Object.entries(ERRORS))
    if ("status" in entry)
      assert.equal(
        rows.get(code),
        {
          status: String(entry.status),
          again: entry.canRetry ? "yes" : "–",
          message: entry.message,
        },
        code,
      );
  for (const code of rows.keys()) assert.ok(code in ERRORS, code);
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
