/** Imports point one way only, and each outside system has one room. Reads every import of the sources. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative, resolve } from "node:path";
import { parseSync } from "oxc-parser";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const test = suite("architecture");
const root = resolve(".");

interface Import {
  readonly from: string;
  /** Path of a source without its ending, or the name of a package. */
  readonly to: string;
}

/** What each part may import of ours; parts are the longest folder or file that a path begins with. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  "src/main": ["src", "actors"],
  "src/gateway": ["src/gateway", "src/ports", "src/domain", "src/errors"],
  // The web page runs in browsers: it knows the gateway by its answers.
  "src/gateway/dashboard": ["src/gateway/dashboard"],
  "src/pipeline": ["src/pipeline", "src/ports", "src/domain", "src/errors"],
  actors: ["actors", "src/ports", "src/domain", "src/errors"],
  "src/observe": ["src/observe", "src/ports", "src/domain", "src/errors"],
  // No outside system's: certificates, and what every room tells of them.
  "src/adapters/tls": ["src/adapters/tls", "src/errors"],
  "src/adapters/mqtt": [
    "src/adapters/mqtt",
    "src/adapters/tls",
    "src/ports",
    "src/domain",
    "src/errors",
  ],
  "src/adapters/kafka": [
    "src/adapters/kafka",
    "src/adapters/tls",
    "src/ports",
    "src/domain",
    "src/errors",
  ],
  "src/adapters/redis": [
    "src/adapters/redis",
    "src/adapters/tls",
    "src/ports",
    "src/domain",
    "src/errors",
  ],
  "src/adapters/timescale": [
    "src/adapters/timescale",
    "src/adapters/tls",
    "src/ports",
    "src/domain",
    "src/errors",
  ],
  "src/adapters/objects": [
    "src/adapters/objects",
    "src/adapters/tls",
    "src/ports",
    "src/domain",
    "src/errors",
  ],
  "src/simulator": [
    "src/simulator",
    "src/domain",
    "src/adapters/mqtt",
    "src/adapters/tls",
    "src/errors",
    "src/ports",
  ],
  "src/ports": ["src/ports", "src/domain", "src/errors"],
  "src/domain": ["src/domain", "src/errors"],
  "src/config": ["src/config", "src/errors"],
  "src/errors": [],
};

/** Packages that only one part may import. */
const ROOMS: Readonly<Record<string, string>> = {
  nact: "actors",
  kafkajs: "src/adapters/kafka",
  ioredis: "src/adapters/redis",
  pg: "src/adapters/timescale",
  "pg-copy-streams": "src/adapters/timescale",
  mqtt: "src/adapters/mqtt",
  minio: "src/adapters/objects",
  fastify: "src/gateway",
  preact: "src/gateway/dashboard",
  "@preact/signals": "src/gateway/dashboard",
  uplot: "src/gateway/dashboard",
  "@opentelemetry/sdk-trace-node": "src/main",
  "@opentelemetry/resources": "src/main",
  "@opentelemetry/exporter-trace-otlp-http": "src/main",
};

/** Parts that nothing outside of them imports, though the part around them would be allowed to. */
const CLOSED = ["src/gateway/dashboard"];

const within = (path: string, part: string): boolean =>
  path === part || path.startsWith(`${part}/`);

function importsOf(file: string, text: string): Import[] {
  const { module } = parseSync(file, text);
  const asked = [
    ...module.staticImports.map((one) => one.moduleRequest.value),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.flatMap((entry) => entry.moduleRequest?.value ?? []),
    ),
    ...module.dynamicImports.map(({ moduleRequest }) =>
      text.slice(moduleRequest.start + 1, moduleRequest.end - 1),
    ),
  ];
  const from = file.replace(/\.tsx?$/, "");
  return asked.map((to) => ({
    from,
    to: to.startsWith(".")
      ? normalize(join(dirname(file), to)).replace(/\.js$/, "")
      : to,
  }));
}

function violations(imports: readonly Import[]): string[] {
  const found: string[] = [];
  for (const { from, to } of imports) {
    const part = Object.keys(ALLOWED)
      .filter((one) => within(from, one))
      .toSorted((a, b) => b.length - a.length)[0];
    if (part === undefined) {
      found.push(`${from} belongs to no part of the layout`);
      continue;
    }
    if (/^(src|actors)\//.test(to)) {
      if (!ALLOWED[part]!.some((one) => within(to, one)))
        found.push(`${from} imports ${to}: ${part} may not`);
      for (const closed of CLOSED)
        if (within(to, closed) && !within(from, closed))
          found.push(`${from} imports ${to}: ${closed} is closed`);
      continue;
    }
    const name = to
      .split("/")
      .slice(0, to.startsWith("@") ? 2 : 1)
      .join("/");
    const room = ROOMS[name];
    if (room !== undefined && !within(from, room))
      found.push(`${from} imports ${name}, whose room is ${room}`);
    if (part === "src/pipeline" && !to.startsWith("node:"))
      found.push(`${from} imports ${name}: the pipeline imports no package`);
    if (part === "src/domain" && !/^node:(buffer|crypto)$/.test(to))
      found.push(`${from} imports ${to}: the domain is pure`);
    if (part === "src/gateway/dashboard" && to.startsWith("node:"))
      found.push(`${from} imports ${to}: it runs in browsers`);
  }
  return found;
}

function sources(): { file: string; text: string }[] {
  return ["src", "actors"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => /\.tsx?$/.test(name))
      .map((name) => {
        const path = join(root, folder, name);
        return { file: relative(root, path), text: readFileSync(path, "utf8") };
      }),
  );
}

test("every import points the way that the layout allows", () => {
  const all = sources();
  assert.ok(all.length > 50, `only ${all.length} sources were read`);
  const imports = all.flatMap(({ file, text }) => importsOf(file, text));
  assert.ok(imports.length > 100, `only ${imports.length} imports were read`);
  assert.equal(violations(imports), []);
});

test("planted violations are found", () => {
  const planted = [
    ["src/domain/x.ts", `import { readFileSync } from "node:fs";`],
    ["src/pipeline/x.ts", `import { Kafka } from "kafkajs";`],
    ["src/gateway/x.ts", `import type { A } from "../pipeline/lane.js";`],
    ["src/adapters/redis/x.ts", `export * from "../kafka/writer.js";`],
    ["src/observe/x.ts", `const nact = await import("nact");`],
    ["src/gateway/dashboard/x.tsx", `import { a } from "../../errors.js";`],
    ["src/gateway/dashboard/x.ts", `import { join } from "node:path";`],
    ["src/gateway/x.ts", `import { a } from "./dashboard/series.js";`],
    ["src/gateway/x.ts", `import { h } from "preact";`],
    [
      "src/pipeline/x.ts",
      `import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";`,
    ],
    ["src/elsewhere/x.ts", `import { a } from "../errors.js";`],
  ] as const;
  for (const [file, text] of planted)
    assert.ok(violations(importsOf(file, text)).length > 0, `${file}: ${text}`);
});

test("only the composition roots read the environment or take signals", () => {
  const reading = sources().filter(
    ({ file, text }) =>
      !file.startsWith("src/main/") && /process\.(env|exit|on)\b/.test(text),
  );
  assert.equal(
    reading.map(({ file }) => file),
    [],
  );
});

test.run();
