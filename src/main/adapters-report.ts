/** What a trial of an adapter found, for people and for programs. */
import { type Sample, type Verdict, VERDICTS } from "../domain/shadow.js";
import type { TryReport } from "./adapters-trial.js";

const WORDS: Readonly<Record<Verdict, string>> = {
  now_parses: "now parses",
  now_differs: "now differs",
  now_fails: "now fails",
  same: "same",
  still_fails: "still fails",
};

export const reportJson = (
  adapter: string,
  source: "dlq" | "live",
  report: TryReport,
): string =>
  JSON.stringify({
    adapter,
    source,
    of: report.of,
    messages: report.messages,
    ...report.counts,
    named_other: report.namedOther,
    left_out: { capped: report.capped, not_telemetry: report.notTelemetry },
    samples: Object.fromEntries(
      VERDICTS.filter((it) => it !== "same").map((verdict) => [
        verdict,
        report.samples[verdict].map(sampleJson),
      ]),
    ),
  });

const sampleJson = (sample: Sample) => ({
  place: sample.place,
  tenant: sample.tenant,
  device_id: sample.deviceId,
  read_by: sample.readBy,
  payload: sample.payload,
  changes: sample.changes,
});

export function reportText(
  adapter: string,
  source: "dlq" | "live",
  report: TryReport,
): string {
  const what = source === "dlq" ? "dead letters" : "messages from now on";
  const lines = [
    `${adapter} on ${report.messages} ${what}; nothing was stored`,
  ];
  for (const verdict of VERDICTS)
    lines.push(
      `  ${WORDS[verdict].padEnd(11)}  ${String(report.counts[verdict]).padStart(7)}`,
    );
  if (report.namedOther > 0)
    lines.push(
      `${report.namedOther} of them name another adapter by their schema: that goes before one that a device is registered with`,
    );
  if (source === "live" && report.messages < report.of)
    lines.push(`no more than these came of the ${report.of} asked for`);
  if (report.notTelemetry > 0)
    lines.push(
      `left out: ${report.notTelemetry} that are no telemetry, or wrong before an adapter sees them`,
    );
  if (report.capped > 0)
    lines.push(
      `left out: ${report.capped} whose payload was too long to be kept whole`,
    );
  for (const verdict of VERDICTS)
    for (const sample of report.samples[verdict])
      lines.push("", ...sampleText(WORDS[verdict], sample));
  return lines.join("\n");
}

const sampleText = (words: string, sample: Sample): string[] => [
  `${words}: ${sample.deviceId ?? "?"} of ${sample.tenant ?? "?"}, ${sample.place}${sample.readBy === null ? "" : `, read by ${sample.readBy}`}`,
  `    ${sample.payload}`,
  ...sample.changes.map((change) => `    ${change}`),
];
