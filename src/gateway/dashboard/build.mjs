// The web page for dist/dashboard: bundled, with names that change with their content, compressed; and its size held to.
import { readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const checkout = join(here, "../../..");
const out = join(checkout, "dist/dashboard");
/** KB gzipped at most: of what a browser loads before it shows anything, and of all there is. */
const BUDGET = { first: 36, all: 64 };

await rm(out, { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: checkout,
  entryPoints: ["main.tsx", "styles/all.css", "icon.svg"].map((name) =>
    join(here, name),
  ),
  outdir: join(out, "assets"),
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  splitting: true,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  loader: { ".svg": "copy" },
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

/** @type {Map<string, string>} name of the built file by the name of its source */
const entries = new Map();
/** Files that the document loads by itself. */
const first = new Set(["index.html"]);
const names = ["index.html"];
for (const [path, output] of Object.entries(metafile.outputs)) {
  const name = `assets/${basename(path)}`;
  names.push(name);
  const isPicture = path.endsWith(".svg");
  if (output.entryPoint === undefined && !isPicture) continue;
  const source = isPicture ? "icon.svg" : basename(output.entryPoint ?? "");
  entries.set(source, name);
  if (!["main.tsx", "all.css", "icon.svg"].includes(source)) continue;
  first.add(name);
  for (const { path: other, kind } of output.imports)
    if (kind === "import-statement") first.add(`assets/${basename(other)}`);
}
const address = (/** @type {string} */ source) => {
  const name = entries.get(source);
  if (name === undefined) throw new Error(`${source} was not built`);
  return `/ui/${name}`;
};
const template = await readFile(join(here, "index.html"), "utf8");
await writeFile(
  join(out, "index.html"),
  template
    .replace("ICON", address("icon.svg"))
    .replace("STYLES", address("all.css"))
    .replace("SCRIPT", address("main.tsx")),
);

const sizes = { first: 0, all: 0 };
for (const name of names) {
  const path = join(out, name);
  const plain = await readFile(path);
  const gzip = gzipSync(plain, { level: 9 });
  const br = brotliCompressSync(plain, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11 },
  });
  await Promise.all([
    writeFile(`${path}.gz`, gzip),
    writeFile(`${path}.br`, br),
  ]);
  sizes.all += gzip.length;
  if (first.has(name)) sizes.first += gzip.length;
  console.log(`${name}  ${kb(plain.length)} KB, gzip ${kb(gzip.length)}`);
}
for (const part of /** @type {const} */ (["first", "all"])) {
  const at = `${kb(sizes[part])} KB gzipped of ${BUDGET[part]}`;
  console.log(part === "first" ? `page at first: ${at}` : `page in all: ${at}`);
  if (sizes[part] <= BUDGET[part] * 1024) continue;
  console.error("the page is larger than its budget; see build.mjs");
  process.exitCode = 1;
}

/** @param {number} bytes */
function kb(bytes) {
  return (bytes / 1024).toFixed(1);
}
