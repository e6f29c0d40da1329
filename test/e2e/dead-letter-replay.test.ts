/** An adapter breaks, 10,000 messages become dead letters, it is mended, they are replayed: every row is there, once. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { encodeEnvelope } from "../../src/domain/envelope.js";
import { TOPIC } from "../../src/domain/names.js";
import type { OutgoingRecord } from "../../src/ports.js";
import { BROKEN_PROCESSOR } from "../support/broken-processor.js";
import { type Running, withRunning } from "../support/fleet.js";
import { CRASHES } from "../support/poisoned-processor.js";
import { runCommand, startRole } from "../support/roles.js";
import { until } from "../support/wait.js";
import { withLog } from "./log-access.js";

const test = suite("replay of dead letters");

const DEVICES = 40;
const MESSAGES = 10_000;
const POINTS = 3;
const ARRIVAL_MS = Date.now() - 3_600_000;

const recordOf = (deviceId: string, n: number, payload: object) => ({
  key: deviceId,
  value: encodeEnvelope({
    tenant: "default",
    deviceId,
    site: null,
    kind: "data" as const,
    payload: Buffer.from(JSON.stringify(payload)),
    arrivalMs: ARRIVAL_MS + n,
  }),
});

/** Message `n`, and the rows it makes, as `Running.rows` has them. */
function parsec(n: number): { record: OutgoingRecord; rows: string[] } {
  const device = `parsec-${n % DEVICES}`;
  const at = ARRIVAL_MS + n;
  const [di1, di2, rssi] = [n % 2, n % 3 === 0 ? 1 : 0, -(n % 90) - 1];
  const payload = { schema: "parsec_v1", ts: at, di1, di2, rssi, fw: "2.0.0" };
  const row = (point: string, value: string) =>
    `${device} ${point} ${at * 1000} ${value}`;
  return {
    record: recordOf(device, n, payload),
    rows: [
      row("status", di1 === 1 ? "RUN" : "STOP"),
      row("fault", di2 === 1 ? "t" : "f"),
      row("rssi", String(rssi)),
    ],
  };
}

interface Cli {
  code: number;
  output: string;
  json: Record<string, unknown>;
}

async function dlq(running: Running, ...args: string[]): Promise<Cli> {
  const { code, output } = await runCommand(
    [...args, "--json"],
    running.env as Record<string, string>,
  );
  const line = output
    .split("\n")
    .findLast((one) => /^[[{]"?/.test(one) && !one.includes('"level"'));
  return { code, output, json: JSON.parse(line ?? "null") as Cli["json"] };
}

const ends = (running: Running): Promise<number[]> =>
  withLog(running.env, (log) => log.ends(TOPIC.data));

async function states(running: Running, where = "true"): Promise<string[]> {
  const { rows } = await running.database.query<{ line: string }>(
    `SELECT concat_ws(' ', reason, state, attempts, count(*)) AS line FROM ingest_errors WHERE ${where} GROUP BY reason, state, attempts ORDER BY 1`,
  );
  return rows.map(({ line }) => line);
}

const append = (running: Running, records: OutgoingRecord[]): Promise<void> =>
  withLog(running.env, (log) => log.append(TOPIC.data, records));

test("10,000 dead letters of an adapter that was broken are stored exactly, once, through a replay that is killed", () =>
  withRunning({}, async (running) => {
    const planted = Array.from({ length: MESSAGES }, (_, n) => parsec(n));
    await running.start("bridge");
    const broken = await running.start("processor", {}, BROKEN_PROCESSOR);
    await append(
      running,
      planted.map(({ record }) => record),
    );
    // A schema that nobody knows, and a device whose actor crashes until it is set aside.
    await append(running, [recordOf("other-1", 0, { schema: "none_v1" })]);
    for (let n = 0; n < 7; n++)
      await append(running, [recordOf("crashing", n, { n, say: CRASHES })]);
    await running.settled();
    assert.is((await running.rows("parsec-%")).length, 0);

    // ---- what an operator sees
    const causes = (await dlq(running, "dlq", "list")).json as unknown as {
      fingerprint: string;
      messages: number;
      devices: number;
      adapter: string | null;
      firmware: string | null;
      cause: string;
    }[];
    const { fingerprint, ...cause } = causes[0]!;
    assert.is(cause.messages, MESSAGES);
    assert.is(cause.devices, DEVICES);
    assert.equal(
      [cause.adapter, cause.firmware, cause.cause],
      ["parsec_v1", "2.0.0", "di1: expected … or …, got …"],
    );
    const text = await runCommand(["dlq", "list"], running.env);
    assert.match(text.output, /10,008 messages, 4 causes, since /);

    // ---- before the adapter is mended everything fails again
    const one = ["--fingerprint", fingerprint, "--limit", "5"];
    const early = await dlq(running, "dlq", "replay", ...one);
    assert.is(early.code, 1, early.output);
    assert.equal(early.json["letters"], {
      open: 5,
      replaying: 0,
      stored: 0,
      dropped: 0,
    });
    assert.equal(await states(running, "adapter = 'parsec_v1'"), [
      "invalid_schema open 1 9995",
      "invalid_schema open 2 5",
    ]);

    // ---- mended: what would become of them
    assert.is(await broken.stop(), 0);
    const before = await ends(running);
    const all = ["--fingerprint", fingerprint];
    const dry = await dlq(running, "dlq", "replay", ...all, "--dry-run");
    assert.is(dry.code, 0, dry.output);
    assert.equal(dry.json["stored"], {
      messages: MESSAGES,
      points: MESSAGES * POINTS,
    });
    assert.equal(await ends(running), before, "nothing was appended");

    // ---- a replay that dies on its way, with no processor there yet
    const dying = await startRole("dlq", running.env, {
      args: ["replay", ...all],
    });
    await until(
      async () => (await states(running, "state = 'replaying'")).length > 0,
      { withinMs: 60_000, what: "the first letters to be on their way" },
    );
    await dying.kill();

    // ---- and the same again
    const mended = await running.start("processor");
    const replayed = await dlq(running, "dlq", "replay", ...all);
    assert.is(replayed.code, 0, replayed.output);
    const stored = (await running.rows("parsec-%")).toSorted();
    assert.equal(stored, planted.flatMap(({ rows }) => rows).toSorted());
    const settled = await states(running, "adapter = 'parsec_v1'");
    assert.equal(settled, [
      "invalid_schema stored 1 9995",
      "invalid_schema stored 2 5",
    ]);
    await inOrderOfEachDevice(running, before);

    // ---- a second replay changes nothing
    await running.settled();
    const after = await ends(running);
    const second = await dlq(running, "dlq", "replay", ...all);
    assert.is(second.code, 0, second.output);
    assert.is(second.json["appended"], 0);
    assert.equal(await ends(running), after);
    assert.equal((await running.rows("parsec-%")).toSorted(), stored);

    // ---- one that nothing was mended for, and then given up
    const other = await dlq(running, "dlq", "replay", "--device", "other-1");
    assert.is(other.code, 1, other.output);
    const asked = ["dlq", "drop", "--device", "other-1"];
    assert.equal((await dlq(running, ...asked)).json, {
      letters: 1,
      dropped: 0,
    });
    const dropped = await dlq(running, ...asked, "--yes");
    assert.equal(dropped.json, { dropped: 1 });
    assert.match(dropped.output, /"act":"dlq drop"/);
    assert.equal(await states(running, "device_id = 'other-1'"), [
      "unknown_schema dropped 2 1",
    ]);
    assert.is((await runCommand(["dlq", "drop"], running.env)).code, 2);

    await quarantineIsReleased(running);
    assert.is(await mended.stop(), 0);
  }));

/** Each device's first replays are in the order of the places where they lay; what is there twice comes after. */
async function inOrderOfEachDevice(
  running: Running,
  from: readonly number[],
): Promise<void> {
  const records = await withLog(running.env, (log) => log.all(TOPIC.data));
  const latest = new Map<string, number>();
  const seen = new Set<string>();
  for (const { partition, offset, key, headers } of records) {
    const origin = headers["replay-of"];
    if (offset < from[partition]! || origin === undefined) continue;
    const place = Number(origin.split("/")[2]);
    const device = String(key);
    if (!seen.has(origin))
      assert.ok(place > (latest.get(device) ?? -1), `${device}: ${origin}`);
    seen.add(origin);
    latest.set(device, Math.max(place, latest.get(device) ?? -1));
  }
  assert.is(seen.size, MESSAGES, "each at least once");
}

/** Five messages crashed the actor, two more were set aside. */
async function quarantineIsReleased(running: Running): Promise<void> {
  assert.equal(await states(running, "device_id = 'crashing'"), [
    "actor_crash open 2 5",
    "quarantined open 0 2",
  ]);
  const listed = (await dlq(running, "quarantine", "list")).json as unknown as {
    deviceId: string;
  }[];
  assert.equal(
    listed.map(({ deviceId }) => deviceId),
    ["crashing"],
  );
  // The fault is gone, but the device is still held.
  const held = await dlq(running, "dlq", "replay", "--device", "crashing");
  assert.is(held.code, 1, held.output);
  assert.equal(await states(running, "device_id = 'crashing'"), [
    "quarantined open 1 2",
    "quarantined open 3 5",
  ]);

  const release = ["quarantine", "release", "crashing"];
  const released = await dlq(running, ...release);
  assert.is(released.code, 0, released.output);
  assert.is(released.json["outcome"], "released");
  assert.is(
    (await dlq(running, ...release)).json["outcome"],
    "not quarantined",
  );
  assert.is((await dlq(running, "quarantine", "list")).json.length, 0);
  const unknown = await runCommand(
    ["quarantine", "release", "nobody"],
    running.env,
  );
  assert.is(unknown.code, 1);
  assert.match(unknown.output, /has no device nobody/);

  const free = await dlq(running, "dlq", "replay", "--device", "crashing");
  assert.is(free.code, 0, free.output);
  assert.equal(
    (await running.rows("crashing")).filter((row) => row.includes(" n ")),
    Array.from(
      { length: 7 },
      (_, n) => `crashing n ${(ARRIVAL_MS + n) * 1000} ${n}`,
    ),
  );
}

test.run();
