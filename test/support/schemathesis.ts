/**
 * Schemathesis, which makes requests out of an OpenAPI document: installed once for all runs, into a Python environment
 * beside what else is brought for tests; where that cannot be had its tests are skipped in plain sight.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pythonWith, runProgram } from "./python.js";

/** Pinned: another version makes other requests. */
const VERSION = "4.32.5";
const SCHEMATHESIS = {
  name: `schemathesis-${VERSION}`,
  packages: [`schemathesis==${VERSION}`],
};
/** A request may take so long: what hangs is a finding too. */
const REQUEST_SECONDS = 10;
/** For each operation in turn, so that the time is spent on all of them. */
const EXAMPLES = 10;
/** A route that may wait for half a minute would use up the time of all, and look like one that hangs. */
const SHORT_WAITS = '[parameters]\n"query.wait" = 0\n';
/** Paths left out: a live stream has no end that could be waited for. */
export const ENDLESS = /\/live$/;
/** Beyond its time it hangs, however busy the machine is. */
const SPARE_MS = 120_000;

export interface Findings {
  /** Requests that were made. */
  readonly cases: number;
  /** Whether all was well: no answer of 500 and above, none that did not come. */
  readonly ok: boolean;
  /** What it says, with a curl line for each finding. */
  readonly report: string;
}

/** Installs it where it is not yet; answers why it cannot be had, or null. */
export async function whyNoSchemathesis(): Promise<string | null> {
  const found = await pythonWith(SCHEMATHESIS);
  return "whyNot" in found ? found.whyNot : null;
}

/**
 * Makes requests of all kinds, right ones and wrong ones, for each operation of the document at `url`.
 * One request at a time: with two threads Python 3.11's own parser sometimes failed under Hypothesis.
 * @param seconds spent on it; starting and reporting come on top
 */
export async function fuzz(
  url: string,
  headers: Readonly<Record<string, string>>,
  seconds: number,
): Promise<Findings> {
  const found = await pythonWith(SCHEMATHESIS);
  if ("whyNot" in found) throw new Error(found.whyNot);
  // It leaves what it found in the working directory, to be tried first the next time.
  const cwd = await mkdtemp(join(tmpdir(), "twinstream-fuzz-"));
  await writeFile(join(cwd, "schemathesis.toml"), SHORT_WAITS);
  const withinMs = seconds * 1000 + SPARE_MS;
  const { code, output } = await runProgram(
    join(found.bin, "st"),
    [
      "run",
      url,
      ..."--checks not_a_server_error --phases examples,coverage,fuzzing --workers 1 --no-color".split(
        " ",
      ),
      ...`--seed 1 --generation-database none --max-examples ${EXAMPLES} --max-time ${seconds}`.split(
        " ",
      ),
      "--exclude-path-regex",
      ENDLESS.source.replaceAll("\\", ""),
      ...`--continue-on-failure --no-shrink --request-timeout ${REQUEST_SECONDS}`.split(
        " ",
      ),
      ...Object.entries(headers).flatMap(([name, value]) => [
        "--header",
        `${name}: ${value}`,
      ]),
    ],
    { withinMs, cwd },
  );
  await rm(cwd, { recursive: true, force: true });
  if (code === null)
    throw new Error(`not within ${withinMs} ms: the run\n${output}`);
  const cases = /(\d[\d,]*) generated/.exec(output)?.[1] ?? "0";
  return {
    cases: Number(cases.replaceAll(",", "")),
    ok: code === 0,
    report: output,
  };
}
