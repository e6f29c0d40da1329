/**
 * How fast a processor drains a backlog: messages waiting in the log → rows committed in the database, Redis and offsets
 * included. Prints messages/s, points/s, CPU and memory of the processor.
 *
 *   npm run bench:drain -- --messages 300000 --devices 1000 --points 4
 */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogWriter } from "../../src/adapters/kafka/writer.js";
import { encodeEnvelope } from "../../src/domain/envelope.js";
import { TOPIC } from "../../src/domain/names.js";
import { runCommand, startRole } from "../support/roles.js";
import { withOwnStack } from "../support/services.js";
import { until } from "../support/wait.js";

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "300000" },
    devices: { type: "string", default: "1000" },
    points: { type: "string", default: "4" },
    json: { type: "boolean", default: false },
    profile: { type: "boolean", default: false },
  },
});
const messages = Number(values.messages);
const devices = Number(values.devices);
const points = Number(values.points);
const say = (line: string): void => {
  if (!values.json) console.log(line);
};

/** A v1 message of the given number of points, each message at its own second. */
function payload(device: number, round: number, startMs: number): Buffer {
  const at = new Date(startMs + round * 1000).toISOString();
  const list = Array.from({ length: points }, (_, i) => ({
    name: `point_${i}`,
    t: "float",
    v: Math.round((20 + device / 100 + (round % 50) / 10 + i) * 100) / 100,
    u: "°C",
  }));
  return Buffer.from(
    JSON.stringify({ schema: "v1", ts: at, points: list, meta: { fw: "1.0" } }),
  );
}

async function fill(brokers: string): Promise<number> {
  const writer = createLogWriter(
    connectLog({
      brokers: [brokers],
      clientId: "bench",
      log: () => undefined,
    }),
  );
  const rounds = Math.ceil(messages / devices);
  const startMs = Date.now() - rounds * 1000;
  let records: { key: string; value: Buffer }[] = [];
  let bytes = 0;
  for (let n = 0; n < messages; n++) {
    const device = n % devices;
    const deviceId = `bench-${String(device).padStart(6, "0")}`;
    const value = encodeEnvelope({
      tenant: "default",
      deviceId,
      site: null,
      kind: "data",
      payload: payload(device, Math.floor(n / devices), startMs),
      arrivalMs: Date.now(),
    });
    records.push({ key: deviceId, value });
    bytes += value.length;
    if (records.length === 5000 || n === messages - 1) {
      await writer.append(TOPIC.data, records);
      records = [];
    }
  }
  await writer.close();
  return bytes;
}

/** User and system CPU seconds of a process so far, by Linux's clock of 100 ticks a second. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .split(") ")[1]!
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function peakMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)![1]) / 1024;
}

await withOwnStack(["kafka", "redis", "postgres", "mqtt"], async (stack) => {
  const env = { ...stack.env };
  const migrated = await runCommand(["migrate"], env);
  if (migrated.code !== 0) throw new Error(migrated.output);
  say(`filling the log with ${messages} messages of ${devices} devices …`);
  const bytes = await fill(env["KAFKA_BROKERS"]!);
  const processor = await startRole(
    "processor",
    { ...env, LOG_LEVEL: "warn" },
    { node: values.profile ? ["--cpu-prof"] : [] },
  );
  await processor.ready();
  const stored = (): Promise<number> => processor.metric("ingest_points_total");
  const total = messages * points;
  const readyMs = Date.now();
  const before = await stored();
  const cpuBefore = cpuSeconds(processor.pid);
  await until(
    async () => {
      const now = await stored();
      if (now < total) return false;
      return true;
    },
    { withinMs: 600_000, what: "all points to be stored" },
  );
  const seconds = (Date.now() - readyMs) / 1000;
  const cpu = cpuSeconds(processor.pid) - cpuBefore;
  const result = {
    machine: `${cpus().length} × ${cpus()[0]?.model ?? "?"}, Node ${process.version}`,
    messages,
    devices,
    points_a_message: points,
    megabytes: Math.round(bytes / 1e6),
    seconds: Number(seconds.toFixed(2)),
    messages_per_second: Math.round((total - before) / points / seconds),
    points_per_second: Math.round((total - before) / seconds),
    processor_cpu_percent: Math.round((100 * cpu) / seconds),
    processor_cpu_us_per_message: Number(
      ((cpu * 1e6) / ((total - before) / points)).toFixed(1),
    ),
    processor_peak_mib: Math.round(peakMiB(processor.pid)),
  };
  if (values.json) console.log(JSON.stringify(result));
  else
    say(
      `drained ${result.messages_per_second.toLocaleString("en")} messages/s = ${result.points_per_second.toLocaleString("en")} points/s ` +
        `(${seconds.toFixed(1)} s; processor ${result.processor_cpu_percent} % of a core, ${result.processor_cpu_us_per_message} µs a message, ${result.processor_peak_mib} MiB at most; ${result.machine})`,
    );
  await processor.stop();
  if (processor.output()) say(processor.output());
});
