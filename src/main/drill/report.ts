/** A drill's outcome: whether it is well, and what a person reads. */
import { FAULTLESS } from "../../simulator/compare.js";
import type { DrillResult } from "./run.js";

/** Names shown of a list; the JSON has all. */
const SHOWN = 5;
const MIB = 2 ** 20;

/** What is wrong, a line each; nothing when the drill is passed. */
export function troubles(result: DrillResult): string[] {
  const found: string[] = [];
  if (result.voided !== null)
    found.push(`void, the fault never bit: ${result.voided}`);
  if (result.notRecovered !== null) found.push(result.notRecovered);
  for (const kind of [...FAULTLESS, "brokerLoss"] as const) {
    const all = result[kind];
    if (all.length === 0) continue;
    const more = all.length > SHOWN ? `, and ${all.length - SHOWN} more` : "";
    found.push(`${words(kind)}: ${all.slice(0, SHOWN).join("; ")}${more}`);
  }
  return found;
}

const words = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

export function reportText(result: DrillResult): string {
  const n = (value: number) => value.toLocaleString("en");
  const after = (value: number | null) =>
    value === null ? "not within the deadline" : `${value.toFixed(1)} s`;
  const letters = Object.entries(result.deadLettered)
    .map(([reason, count]) => `${reason} ${n(count)}`)
    .join(", ");
  const memory = Object.entries(result.peakBytes)
    .map(([role, bytes]) => `${role} ${Math.round(bytes / MIB)} MiB`)
    .join(", ");
  const rows: [string, string][] = [
    ["fault", result.fault],
    ["sent", n(result.sent)],
    ["accepted", n(result.accepted)],
    ["stored", n(result.stored)],
    ["noted", `${n(result.noted)} (hellos)`],
    ["dead-lettered", letters === "" ? "0" : letters],
    ["duplicates", n(result.duplicates)],
    ...[...FAULTLESS, "brokerLoss" as const].map((kind): [string, string] => [
      words(kind),
      n(result[kind].length),
    ]),
    ["healed", after(result.healedSeconds)],
    ["first row", `${after(result.firstRowSeconds)} after the fault`],
    ["caught up", `${after(result.caughtUpSeconds)} after the fault`],
    ["stood still", `${result.stalledSeconds.toFixed(1)} s at the longest`],
    ["peak memory", memory],
    ["seed", String(result.seed)],
    ["ledger", result.ledger],
  ];
  const lines = rows.map(([name, value]) => `${name.padEnd(14)} ${value}`);
  const wrong = troubles(result);
  return [
    ...lines,
    ...wrong.map((line) => `FAILED  ${line}`),
    wrong.length === 0
      ? `${result.drill}: passed`
      : `${result.drill}: failed; the ledger tells what was sent`,
  ].join("\n");
}
