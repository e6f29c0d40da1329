/** A run in words. */
import type { Uploading } from "./simulate.js";
import type { Progress, Summary } from "./tally.js";

const number = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const n = (value: number) => number.format(value);

/** One line. */
export function progressLine(
  before: Progress | null,
  at: Progress & Uploading,
): string {
  const seconds = at.seconds - (before?.seconds ?? 0);
  const rate = seconds > 0 ? (at.acked - (before?.acked ?? 0)) / seconds : 0;
  return `${n(at.seconds)} s  ${n(at.sent)} sent  ${n(at.acked)} acked (${n(rate)}/s)  ${n(at.waiting)} waiting  ${n(at.refused)} refused  ${n(at.connected)} of ${n(at.connections)} connections${at.uploads === null ? "" : `  ${n(at.uploads.accepted)} uploads`}`;
}

/** A few lines. */
export function summaryText(
  summary: Summary & Uploading,
  ledger: string | null,
): string {
  const { latencyMs, commands } = summary;
  const classes = Object.entries(summary.sentByClass)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${n(count)} ${name}`);
  const lines = [
    `${summary.ended}: ${n(summary.devices)} devices on ${n(summary.connections)} connections, QoS ${summary.qos}, seed ${summary.seed}, start ${new Date(summary.start).toISOString()}`,
    `sent ${n(summary.sent)} messages (${classes.join(", ")}) in ${n(summary.attempts)} attempts`,
    `acked ${n(summary.acked)} (${n(summary.pointsAcked)} points), refused ${n(summary.refused)}, unknown ${n(summary.unknown)}`,
    `rate ${n(summary.rate)} acked messages/s over ${summary.seconds.toFixed(1)} s`,
  ];
  if (latencyMs.p50 !== null)
    lines.push(
      `PUBACK after ${ms(latencyMs.p50)} (p50), ${ms(latencyMs.p99)} (p99), ${ms(latencyMs.max)} at most`,
    );
  if (summary.behindMs >= 100)
    lines.push(
      `sending fell up to ${ms(summary.behindMs)} behind the rate that was asked for`,
    );
  if (summary.connectionsLost > 0)
    lines.push(`connections lost: ${n(summary.connectionsLost)}`);
  if (summary.noSubscriber > 0)
    lines.push(
      `${n(summary.noSubscriber)} acked messages had no subscriber at the broker and went nowhere: is the bridge running?`,
    );
  if (commands.executed + commands.repeated + commands.unreadable > 0)
    lines.push(
      `commands: ${n(commands.executed)} executed, ${n(commands.repeated)} came again, ${n(commands.unreadable)} unreadable; ${n(commands.acksAcked)} acks reached the broker`,
    );
  if (summary.uploads !== null) {
    const { accepted, readings, failed } = summary.uploads;
    lines.push(
      `uploads: ${n(accepted)} accepted (${n(readings)} readings), ${n(failed)} failed tries`,
    );
  }
  if (ledger !== null) lines.push(`ledger: ${ledger}`);
  return lines.join("\n");
}

function ms(value: number | null): string {
  return value === null ? "?" : `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}
