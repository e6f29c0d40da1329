/** What the documents tell a reader to type, typed: on a stack of `npm start`, as a newcomer has it. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { CLI, npmStart, stackEnv } from "../support/npm-start.js";
import { pythonWith, runProgram } from "../support/python.js";
import { until } from "../support/wait.js";

const test = suite("the documents' commands and programs");
const PYTHON = {
  name: "examples-1",
  packages: ["redis==8.1.0", "paho-mqtt==2.2.0"],
};
const COMMAND_MS = 60_000;

/** Code of a page: its fences of a language, in order. */
async function fences(page: string, language: string): Promise<string[]> {
  const text = await readFile(resolve(page), "utf8");
  const found = text.matchAll(
    new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"),
  );
  return [...found].map(([, code]) => code!);
}

/** The fence of a page that has these words. */
async function fence(page: string, language: string, words: string) {
  const code = (await fences(page, language)).find((one) =>
    one.includes(words),
  );
  assert.ok(code, `${page} has no ${language} with ${words}`);
  return code;
}

/** As a reader of the README has it: the mosquitto clients come from a package. */
async function clients(): Promise<void> {
  const load = async <T>(path: string) =>
    (await import(pathToFileURL(resolve(path)).href)) as T;
  const { findProgram } = await load<{
    findProgram(name: string): string | null;
  }>("deploy/native/programs.mjs");
  const { installPackages } = await load<{
    installPackages(
      packages: string[],
      say: () => void,
      signal: AbortSignal,
    ): Promise<void>;
  }>("deploy/native/packages.mjs");
  const missing = Object.entries({
    mosquitto_pub: "mosquitto-clients",
    curl: "curl",
  }).filter(([program]) => findProgram(program) === null);
  await installPackages(
    missing.map(([, name]) => name),
    () => undefined,
    new AbortController().signal,
  );
}

test("do what they say on a stack of npm start", async () => {
  await clients();
  const python = await pythonWith(PYTHON);
  const checkout = await mkdtemp(join(tmpdir(), "twinstream-documents-"));
  const start = npmStart(checkout, ["--devices", "5", "--rate", "5"]);
  try {
    await start.says("all is up", 90_000);
    const settings = Object.fromEntries(await stackEnv(checkout));
    const env: NodeJS.ProcessEnv = { ...process.env, ...settings };
    const bash = (lines: string, cwd = checkout) =>
      runProgram("bash", ["-euc", lines], { withinMs: COMMAND_MS, cwd, env });
    /** Until it answers so: a reading that was just sent is stored a moment later. */
    const answers = (lines: string, expected: readonly RegExp[]) => {
      let said = "";
      return until(
        async () => {
          said = (await bash(lines)).output;
          return expected.every((part) => part.test(said));
        },
        { withinMs: COMMAND_MS, what: "the answers expected" },
      ).catch((error: Error) => {
        throw new Error(`${error.message} of:\n${lines}\n${said}`);
      });
    };

    // The README's first commands, line by line as a reader types them.
    const [, ...lines] = (await fence("README.md", "sh", "mosquitto_pub"))
      .trim()
      .split("\n");
    const login = lines.find((line) => line.startsWith("TOKEN="))!;
    const { output: token } = await bash(`${login}; echo "$TOKEN"`);
    env.TOKEN = token.trim();
    const expected = [
      /^$/,
      /^payload\n\{"temperature": 22\.5\}$/m,
      /dev-1 +\| temperature +\| +22\.5/,
      /^$/,
      /"device_id":"dev-1","tenant":"default","online":true/,
      /"cmd_id":"\w+","state":"accepted"/,
      /"op":"reset_fault".*"state":"(acked|delivered|sent)"/,
    ];
    assert.is(lines.length, expected.length);
    for (const [n, line] of lines.entries())
      await answers(line, [expected[n]!]);

    const twinstream = `twinstream() { '${process.execPath}' '${CLI}' "$@"; }\n`;
    await answers(await fence("deploy/devices.md", "sh", "temp_agua"), []);
    await answers(
      `${twinstream}${await fence("deploy/devices.md", "sh", "ingest/test")}`,
      [/points\[0\]\.v/],
    );
    await answers(
      `psql "$DATABASE_URL" -c "SELECT point_id, v_num, unit FROM ts_measure WHERE device_id IN ('dev-1', 'dev-2')"`,
      [/temp_agua +\| +7\.3 +\| °C/, /door\.open/],
    );
    await answers(await fence("deploy/http.md", "sh", "analytics/equipment"), [
      /^dev-1,temp_agua,float,°C,/m,
    ]);
    await answers(
      await fence("deploy/dashboards.md", "sql", "telemetry_hourly").then(
        (sql) => `psql "$DATABASE_URL" -v ON_ERROR_STOP=1 <<'END'\n${sql}END`,
      ),
      [/avg_value/],
    );
    const upload = [
      {
        equip_uuid: "freezer-1",
        equip_nome: "Freezer",
        sensor: [
          {
            sensor_uuid: "temp",
            sensor_tipo: "temperatura",
            valor: 25.5,
            timestamp: new Date().toISOString(),
          },
        ],
      },
    ];
    await writeFile(join(checkout, "readings.json"), JSON.stringify(upload));
    await answers(await fence("deploy/http.md", "sh", "telemetry/bulk"), [
      /"claim_id"/,
      /"status_url"/,
    ]);
    await answers(
      `${twinstream}${await fence("deploy/operations.md", "sh", "dlq list")}`.replaceAll(
        / --fingerprint \w+| show \w+/g,
        (words) => (words.startsWith(" show") ? " list" : " --all"),
      ),
      [],
    );

    // The programs, as they stand there.
    const program = await fence("deploy/dashboards.md", "ts", "ioredis");
    await writeFile(join(checkout, "package.json"), '{"type":"module"}');
    await writeFile(join(checkout, "dashboard.ts"), program);
    await bash(
      `ln -sfn '${resolve("node_modules")}' node_modules
       node_modules/.bin/tsc --ignoreConfig --strict --skipLibCheck --target es2023 --module nodenext --types node dashboard.ts`,
    ).then(({ code, output }) => assert.is(code, 0, output));
    const shows = /dev-1 .*temp_agua/s;
    const shown = await runProgram("node", ["dashboard.js"], {
      withinMs: COMMAND_MS,
      cwd: checkout,
      env,
      enough: (output) =>
        shows.test(output) && /messages in the last hour/.test(output),
    });
    assert.is(shown.code, 0, shown.output);

    if ("whyNot" in python) {
      console.log(`skipped: the examples in Python: ${python.whyNot}`);
      return;
    }
    const dashboard = await fence(
      "deploy/dashboards.md",
      "python",
      "import redis",
    );
    await writeFile(join(checkout, "dashboard.py"), dashboard);
    const drawn = await runProgram(
      join(python.bin, "python"),
      ["-u", "dashboard.py"],
      {
        withinMs: COMMAND_MS,
        cwd: checkout,
        env,
        enough: (output) =>
          shows.test(output) && /messages in the last hour/.test(output),
      },
    );
    assert.is(drawn.code, 0, drawn.output);
    const device = await fence("deploy/devices.md", "python", "paho");
    await writeFile(join(checkout, "device.py"), device);
    const sending = runProgram(
      join(python.bin, "python"),
      ["-u", "device.py"],
      {
        withinMs: COMMAND_MS,
        cwd: checkout,
        env,
        enough: (output) => output.includes("doing reset_fault"),
      },
    );
    await answers(
      `curl -s -H "Authorization: Bearer $TOKEN" "$HTTP_URL/devices/dev-3/command?wait=5" -H 'content-type: application/json' -d '{"op": "reset_fault"}'`,
      [/"state":"(acked|delivered)"/],
    );
    const sent = await sending;
    assert.is(sent.code, 0, sent.output);
  } catch (error) {
    console.error(start.output());
    throw error;
  } finally {
    await start.stop().catch(() => start.kill());
    await rm(checkout, { recursive: true, force: true });
  }
});

test.run();
