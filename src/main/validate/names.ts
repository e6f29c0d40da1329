/** What `twinstream validate` tries, in this order, in words: what --help and a failure say. */

interface CheckText {
  readonly name: string;
  /** What it shows. */
  readonly shows: string;
  /** Where to look when it fails. */
  readonly remedy: string;
}

export const CHECKS = [
  {
    name: "mqtt",
    shows: "a device may connect, and hear its commands",
    remedy:
      "is the broker up, and may the user of MQTT_URL (or --mqtt) speak for any device? twinstream check",
  },
  {
    name: "telemetry",
    shows: "each reading becomes one row, value and all",
    remedy:
      "are a bridge and a processor running and ready? look at /ready of each, and at the lag: twinstream offsets list",
  },
  {
    name: "view",
    shows: "Redis has the device's last state and its history",
    remedy: "do processor and this command use the same REDIS_URL?",
  },
  {
    name: "http",
    shows: "the gateway shows the device to who has logged in",
    remedy:
      "is a gateway running at --url (HTTP_URL)? look at /api/v1/health/detailed",
  },
  {
    name: "dead-letters",
    shows:
      "payloads that cannot be stored are kept, with their reason, and harm no other",
    remedy:
      "does the processor reach the log to write iot-data.dlq? look at its log",
  },
  {
    name: "throughput",
    shows: "10,000 readings (--points) are all stored",
    remedy:
      "is there a backlog (twinstream offsets list), or is the machine busy? more time: --timeout",
  },
  {
    name: "latency",
    shows: "p50 from publish to a Redis subscriber, and to the row, ≤ 1 s each",
    remedy:
      "is there a backlog (twinstream offsets list)? INGEST_BATCH_MS is part of the way to the row",
  },
  {
    name: "acks",
    shows:
      "a command reaches its device, and acks that come again change nothing",
    remedy:
      "does the processor reach the broker (MQTT_URL), and may the device hear its commands?",
  },
  {
    name: "isolation",
    shows: "another tenant sees nothing of the device, over HTTP and in SQL",
    remedy:
      "grants and policies are those of the migrations; what was changed by hand? twinstream migrate",
  },
] as const satisfies readonly CheckText[];

export const REMEDY = Object.fromEntries(
  CHECKS.map(({ name, remedy }) => [name, remedy]),
) as Readonly<Record<CheckName, string>>;

export type CheckName = (typeof CHECKS)[number]["name"];
