/** Dead letters over HTTP, on a real database: an operator sees and moves those of their own tenant, and no others. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createLetterDesk } from "../../src/adapters/timescale/letter-desk.js";
import { createTelemetryStore } from "../../src/adapters/timescale/telemetry-store.js";
import { encodeEnvelope } from "../../src/domain/envelope.js";
import type { DeadLetter } from "../../src/domain/message.js";
import { TOPIC } from "../../src/domain/names.js";
import { partitionOf } from "../../src/domain/partition.js";
import { deadLetterRecord } from "../../src/pipeline/dead-letters.js";
import { createReplayer } from "../../src/pipeline/replay.js";
import {
  change,
  claimLane,
  device,
  letter,
  record,
} from "../conformance/telemetry-store-batches.js";
import { type AuthRig, withAuth } from "../support/auth-rig.js";
import { type TestDatabase, withDatabase } from "../support/database.js";
import type { Answer } from "../support/gateway-rig.js";
import { createMemoryLog } from "../support/memory-log.js";

const test = suite("dead letters over HTTP");
const PARTITIONS = 12;

interface Rig extends AuthRig, TestDatabase {
  readonly replayed: ReturnType<typeof createMemoryLog>;
  readonly operator: Record<string, string>;
}

/** A letter whose payload is good by now: what was wrong is mended. */
const mended = (
  offset: number,
  tenant: string,
  deviceId: string,
  over: Partial<DeadLetter> = {},
): DeadLetter => {
  const payload = Buffer.from(
    `{"schema":"v1","ts":1760000000,"points":[{"name":"n","t":"num","v":${offset}}],"meta":{"fw":"1.0"}}`,
  );
  const value = encodeEnvelope({
    tenant,
    deviceId,
    site: null,
    kind: "data",
    payload,
    arrivalMs: 1_760_000_001_000,
  });
  const key = tenant === "default" ? deviceId : `${tenant}/${deviceId}`;
  const partition = partitionOf(key, PARTITIONS);
  return letter(offset, {
    source: { ...record(offset), key: Buffer.from(key), value, partition },
    tenant,
    deviceId,
    payload,
    reason: "invalid_schema",
    detail: `points[${offset}].v: expected a finite number for t "num", got ${offset}`,
    ...over,
  });
};

/** acme: three letters of one cause, one that cannot be replayed, a device in quarantine. other: one letter. Nobody's: one. */
async function withLetters(work: (rig: Rig) => Promise<void>): Promise<void> {
  await withDatabase({}, async (database) => {
    const store = createTelemetryStore({
      url: database.url,
      name: "test",
      poolMin: 0,
      poolMax: 2,
    });
    const desk = createLetterDesk({
      url: database.url,
      name: "test",
      role: "twinstream_gateway",
      poolMax: 2,
    });
    const replayed = createMemoryLog({ partitions: PARTITIONS });
    try {
      const letters = [
        mended(1, "acme", "a-1"),
        mended(2, "acme", "a-1"),
        mended(3, "acme", "a-2"),
        mended(4, "other", "o-1"),
        letter(5, { tenant: null, deviceId: null }),
        mended(6, "acme", "a-1", {
          reason: "too_large",
          detail: "payload: 5000000 bytes",
          payload: Buffer.alloc(70_000, 0xff),
        }),
      ];
      const held = device("a-3", "acme");
      const free = device("a-1", "acme");
      await store.register(7, [held, free], []);
      const lane = await claimLane(store);
      await lane.flush(7, {
        deadLetters: letters,
        changes: [
          change(held, { quarantinedUntilMs: Date.now() + 600_000 }),
          change(free),
        ],
      });
      await replayed.writer.append(
        TOPIC.dataDeadLetters,
        letters.map((one) => deadLetterRecord(one, Date.now())),
      );
      const replayer = createReplayer({
        desk,
        log: replayed.inspector,
        writer: replayed.writer,
      });
      await withAuth(
        (rig) =>
          work({
            ...rig,
            ...database,
            replayed,
            operator: rig.as("operator", "acme"),
          }),
        { deps: { letters: { desk, replayer } } },
      );
    } finally {
      await Promise.all([store.close(), desk.close()]);
    }
  });
}

const body = (answer: Answer, status = 200): Record<string, unknown> => {
  assert.is(answer.status, status, answer.text);
  return answer.body as Record<string, unknown>;
};
const list = (answer: Answer, name: string): Record<string, unknown>[] =>
  body(answer)[name] as Record<string, unknown>[];

test("causes and letters are those of one's own tenant, by filter and page", () =>
  withLetters(async ({ get, as, operator }) => {
    const causes = list(await get("/api/v1/dead-letters", operator), "causes");
    assert.equal(
      causes.map(({ reason, adapter, firmware, cause, messages, devices }) => [
        reason,
        adapter,
        firmware,
        cause,
        messages,
        devices,
      ]),
      [
        [
          "invalid_schema",
          "v1",
          "1.0",
          "points[].v: expected a finite number for t …, got …",
          3,
          2,
        ],
        ["too_large", null, null, "payload: … bytes", 1, 1],
      ],
    );
    const of = async (query: string) =>
      list(
        await get(`/dead-letters/letters?${query}`, operator),
        "letters",
      ).map(({ log }) => (log as { offset: number }).offset);
    assert.equal(await of(""), [6, 3, 2, 1]);
    assert.equal(await of("device=a-2"), [3]);
    assert.equal(await of("device=o-1"), []);
    assert.equal(await of("reason=too_large"), [6]);
    const { fingerprint } = causes[0]!;
    assert.equal(await of(`fingerprint=${String(fingerprint)}`), [3, 2, 1]);
    assert.equal(await of("since=2100-01-01T00:00:00Z"), []);
    assert.equal(
      await of("until=2100-01-01T00:00:00Z&state=all"),
      [6, 3, 2, 1],
    );
    assert.equal(await of("state=stored"), []);

    const first = body(await get("/dead-letters/letters?limit=3", operator));
    const next = await of(`limit=3&cursor=${String(first["next"])}`);
    assert.equal(next, [1]);

    const others = await get("/dead-letters", as("operator", "other"));
    assert.is(list(others, "causes")[0]!["messages"], 1);
    assert.is((await get("/dead-letters", as("viewer", "acme"))).status, 403);
    assert.is((await get("/dead-letters")).status, 401);
    for (const wrong of ["since=never", "fingerprint=x", "state=lost"])
      assert.is((await get(`/dead-letters?${wrong}`, operator)).status, 400);
  }));

test("a letter shows the bytes that were kept, how many there were, and why it cannot be replayed", () =>
  withLetters(async ({ get, as, operator, admin }) => {
    const { rows } = await admin.query<{ id: string; log_offset: string }>(
      "SELECT id, log_offset FROM ingest_errors ORDER BY log_offset",
    );
    const url = (offset: number) =>
      `/dead-letters/letters/${rows.find((row) => row.log_offset === String(offset))!.id}`;
    const small = body(await get(url(1), operator));
    assert.is(small["truncated"], false);
    assert.is(small["replayable"], true);
    assert.match(String(small["payload"]), /^\{"schema":"v1"/);
    const large = body(await get(url(6), operator));
    assert.equal(
      [large["payload_size"], large["truncated"], large["replayable"]],
      [70_000, true, false],
    );
    assert.match(String(large["why_not"]), "only the head");
    assert.is(
      Buffer.from(String(large["payload_base64"]), "base64").length,
      65_536,
    );
    for (const [offset, who] of [
      [4, operator],
      [5, operator],
      [1, as("operator", "other")],
    ] as const)
      assert.is((await get(url(offset), who)).status, 404, `letter ${offset}`);
  }));

test("a replay appends one's own letters, after a dry run that does not; both are in the audit log", () =>
  withLetters(async ({ post, get, replayed, operator, observer, admin }) => {
    const appended = () =>
      Array.from({ length: PARTITIONS }, (_, p) =>
        replayed.records(TOPIC.data, p),
      ).flat();
    const states = async () =>
      (
        await admin.query<{ line: string }>(
          "SELECT concat_ws(' ', log_offset, state) AS line FROM ingest_errors ORDER BY log_offset",
        )
      ).rows.map(({ line }) => line);
    const untouched = await states();

    const nothing = await post("/dead-letters/replay", {}, operator);
    assert.is(nothing.status, 400);
    assert.match(nothing.text, "say which dead letters");

    const dry = await post(
      "/dead-letters/replay",
      { all: true, dry_run: true },
      operator,
    );
    assert.equal(body(dry)["stored"], { messages: 3, points: 3 });
    assert.is(appended().length, 0);
    assert.equal(await states(), untouched);

    const done = await post("/dead-letters/replay", { all: true }, operator);
    const { run, status_url: url, ...counts } = body(done, 202);
    assert.equal(counts, { appended: 3, gone: 0, complete: true });
    assert.equal(
      appended()
        .map(({ key }) => String(key))
        .toSorted(),
      ["acme/a-1", "acme/a-1", "acme/a-2"],
    );
    assert.equal(await states(), [
      "1 replaying",
      "2 replaying",
      "3 replaying",
      "4 open",
      "5 open",
      "6 open",
    ]);
    const status = body(await get(String(url), operator));
    assert.equal(status, {
      run,
      letters: { open: 0, replaying: 3, stored: 0, dropped: 0 },
    });
    const acts = observer.events.flatMap((event) =>
      event.type === "audit" ? [`${event.act} ${event.subject}`] : [],
    );
    assert.match(acts[1]!, /^dead letters replay dry run: /);
    assert.match(acts[2]!, `dead letters replay ${String(run)}: {"all":true}`);
  }));

test("dropping reaches one's own letters alone, and can be seen afterwards", () =>
  withLetters(async ({ post, get, as, operator, admin }) => {
    const asViewer = await post(
      "/dead-letters/drop",
      { all: true },
      as("viewer", "acme"),
    );
    assert.is(asViewer.status, 403);
    assert.is((await post("/dead-letters/drop", {}, operator)).status, 400);
    const some = await post("/dead-letters/drop", { device: "a-1" }, operator);
    assert.equal(body(some), { dropped: 3 });
    const all = await post("/dead-letters/drop", { all: true }, operator);
    assert.equal(body(all), { dropped: 1 });
    const seen = await get("/dead-letters/letters?state=dropped", operator);
    assert.is(list(seen, "letters").length, 4);
    assert.is(list(await get("/dead-letters", operator), "causes").length, 0);
    const { rows } = await admin.query(
      "SELECT FROM ingest_errors WHERE state = 'open'",
    );
    assert.is(rows.length, 2, "the other tenant's and nobody's");
  }));

test("the gateway's role cannot change what a letter holds, nor remove it", () =>
  withLetters(async ({ admin }) => {
    await admin.query("SET ROLE twinstream_gateway");
    await admin.query("SELECT set_config('app.tenant_id', 'acme', false)");
    for (const statement of [
      "UPDATE ingest_errors SET payload = ''",
      "UPDATE ingest_errors SET tenant_id = 'other', state = 'open'",
      "DELETE FROM ingest_errors",
      "INSERT INTO ingest_errors (topic) VALUES ('t')",
      "UPDATE equipments SET quarantined_until = NULL",
    ])
      try {
        await admin.query(statement);
        assert.unreachable(statement);
      } catch (error) {
        assert.match(String(error), "permission denied", statement);
      }
    const moved = await admin.query("UPDATE ingest_errors SET run = 'r'");
    assert.is(moved.rowCount, 4, "its tenant's");
    await admin.query("SELECT set_config('app.tenant_id', '', false)");
    const none = await admin.query("UPDATE ingest_errors SET run = 'r'");
    assert.is(none.rowCount, 0);
    await admin.query("RESET ROLE");
  }));

test("devices in quarantine are listed, and released through their lane", () =>
  withLetters(async ({ get, post, as, operator, log }) => {
    const devices = list(await get("/quarantine", operator), "devices");
    assert.equal(
      devices.map(({ device_id }) => device_id),
      ["a-3"],
    );
    const none = await get("/quarantine", as("operator", "other"));
    assert.equal(list(none, "devices"), []);
    const asked = await post("/devices/a-3/release", {}, operator);
    assert.equal(body(asked, 202), {
      device_id: "a-3",
      state: "release accepted",
    });
    const [{ topic, record: put } = { topic: "", record: null }] = log.appended;
    assert.is(topic, TOPIC.commands);
    assert.is(put!.key, "acme/a-3");
    const value = JSON.parse(String(put!.value)) as Record<string, unknown>;
    assert.equal(
      [value["kind"], value["tenant"], value["device_id"], value["by"]],
      ["release", "acme", "a-3", "ana"],
    );
    const free = await post("/devices/a-1/release", {}, operator);
    assert.is(body(free)["state"], "not quarantined");
    const unknown = await post(
      "/devices/a-3/release",
      {},
      as("operator", "other"),
    );
    assert.is(unknown.status, 404);
    assert.is(log.appended.length, 1);
  }));

test.run();
