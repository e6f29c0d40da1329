/** A trial's outcome as a person reads it, and all of them in one table. */
import { FAULTLESS } from "../../src/simulator/compare.js";
import type { Knobs, Scenario } from "./scenario.js";
import type { Result } from "./trial.js";

const MIB = 2 ** 20;
const number = (value: number): string => value.toLocaleString("en");
const words = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
const pairs = (
  all: Readonly<Record<string, number | string>>,
  shown: (value: number | string) => string = (value) =>
    typeof value === "number" ? number(value) : value,
): string =>
  Object.entries(all)
    .map(([name, value]) => `${name} ${shown(value)}`)
    .join(", ") || "none";

export const headText = (
  scenario: Scenario,
  { seed, seconds, rate, devices }: Knobs,
  schedule: readonly string[],
): string =>
  [
    "",
    `${scenario.name}: ${scenario.does}`,
    `  expected: ${scenario.expects}`,
    `  seed ${seed}, ${number(devices)} devices, ${number(rate)} messages/s for ${seconds} s`,
    ...schedule.map((line) => `  ${line}`),
  ].join("\n");

export const isWell = ({ violations, voided }: Result): boolean =>
  violations.length === 0 && voided === null;

export function resultText(result: Result): string {
  const rows: [string, string][] = [
    ["sent", number(result.sent)],
    ["accepted", number(result.accepted)],
    ["stored", number(result.stored)],
    ["noted", `${number(result.noted)} (hellos)`],
    ["duplicates refused", number(result.duplicates)],
    ["dead-lettered", pairs(result.deadLettered)],
    ...FAULTLESS.map((kind): [string, string] => [
      words(kind),
      number(result[kind].length),
    ]),
    ["broker loss", number(result.brokerLoss.length)],
    ...(result.commands === null
      ? []
      : [["commands", pairs(result.commands)] as [string, string]]),
    ...(result.uploads === null
      ? []
      : [["uploads", pairs(result.uploads)] as [string, string]]),
    [
      "deaths looked at",
      `${result.invariant.checks}, with ${number(result.invariant.records)} records behind an offset`,
    ],
    [
      "recovery",
      result.recoverySeconds === null
        ? "not measured"
        : `${result.recoverySeconds} s after the last act`,
    ],
    ["stood still", `${result.stalledSeconds} s at the longest`],
    [
      "peak memory",
      pairs(
        result.peakBytes,
        (bytes) => `${Math.round(Number(bytes) / MIB)} MiB`,
      ),
    ],
    ["seen", pairs(result.seen)],
    ...(Object.keys(result.figures).length === 0
      ? []
      : [["figures", pairs(result.figures)] as [string, string]]),
    ...(result.endedThemselves.length === 0
      ? []
      : [
          ["ended themselves", result.endedThemselves.join(", ")] as [
            string,
            string,
          ],
        ]),
  ];
  return [
    ...rows.map(([name, value]) => `  ${name.padEnd(19)} ${value}`),
    ...result.violations.map((line) => `  VIOLATION  ${line}`),
    ...(result.voided === null
      ? []
      : [`  VOID  the fault never bit: ${result.voided}`]),
    ...(result.kept === null
      ? []
      : [`  ledger, log and output: ${result.kept}`]),
    `  ${isWell(result) ? "passed" : "FAILED"} in ${result.seconds} s`,
  ].join("\n");
}

/** One line each. */
export function tableText(results: readonly Result[]): string {
  const head = [
    "scenario",
    "sent",
    "accepted",
    "stored",
    "dead",
    "dup",
    "missing",
    "doubled",
    "order",
    "broker loss",
    "recovery",
    "stall",
    "MiB",
    "",
  ];
  const rows = results.map((result) => [
    result.scenario,
    number(result.sent),
    number(result.accepted),
    number(result.stored),
    number(
      Object.values(result.deadLettered).reduce((sum, one) => sum + one, 0),
    ),
    number(result.duplicates),
    number(result.missing.length),
    number(result.doubled.length),
    number(result.outOfOrder.length),
    number(result.brokerLoss.length),
    result.recoverySeconds === null ? "-" : `${result.recoverySeconds} s`,
    `${result.stalledSeconds} s`,
    number(Math.round(Math.max(0, ...Object.values(result.peakBytes)) / MIB)),
    isWell(result) ? "passed" : result.voided === null ? "FAILED" : "VOID",
  ]);
  const widths = head.map((title, n) =>
    Math.max(title.length, ...rows.map((row) => row[n]!.length)),
  );
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, n) =>
          n === 0 || n === row.length - 1
            ? cell.padEnd(widths[n]!)
            : cell.padStart(widths[n]!),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
