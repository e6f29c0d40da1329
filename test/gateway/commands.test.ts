import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import type { CommandRecord } from "../../src/ports.js";
import {
  type GatewayRig,
  NOW_MS,
  NOW_S,
  NOW_US,
  problemIn,
  withGateway,
} from "../support/gateway-rig.js";
import { until } from "../support/wait.js";

const ULID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

const bringOnline = (rig: GatewayRig, id: string): Promise<void> =>
  rig.view.putOnline({ [id]: NOW_S });

const valueOf = (rig: GatewayRig, at = 0): Record<string, unknown> =>
  JSON.parse(String(rig.log.appended[at]?.record.value)) as Record<
    string,
    unknown
  >;

const given = (cmdId: string, more: Partial<CommandRecord> = {}) => ({
  cmdId,
  deviceId: "dev-1",
  op: "reset_fault",
  params: { level: 2 },
  by: "ana",
  state: "acked" as const,
  ok: true,
  err: null,
  createdUs: NOW_US,
  expiresUs: NOW_US + 60_000_000,
  supersedes: null,
  precondition: null,
  history: [
    {
      state: "queued" as const,
      at: "2026-01-15T10:00:00.010Z",
      evidence: "row",
    },
  ],
  ...more,
});

const giving = suite("POST /devices/:id/command");

giving("answers 202 once the log has it, under the device's key", () =>
  withGateway(async (rig) => {
    await bringOnline(rig, "dev-1");
    const answer = await rig.post("/devices/dev-1/command", {
      op: "reset_fault",
      params: { level: 2 },
      by: "ana",
      ttl_s: 120,
    });
    assert.is(answer.status, 202);
    const body = answer.body as Record<string, string>;
    assert.equal(Object.keys(body), ["cmd_id", "state", "status_url"]);
    const cmdId = body["cmd_id"] ?? "";
    assert.match(cmdId, ULID);
    assert.is(body["state"], "accepted");
    assert.is(body["status_url"], `/devices/dev-1/commands/${cmdId}`);
    assert.is(answer.headers["location"], body["status_url"]);
    assert.is(rig.log.appended.length, 1);
    assert.is(rig.log.appended[0]?.topic, "device-commands");
    assert.is(rig.log.appended[0]?.record.key, "dev-1");
    assert.equal(valueOf(rig), {
      kind: "command",
      tenant: "default",
      device_id: "dev-1",
      cmd_id: cmdId,
      op: "reset_fault",
      params: { level: 2 },
      by: "ana",
      ts: "2026-01-15T10:00:00.000Z",
      expires_at: "2026-01-15T10:02:00.000Z",
      queue: false,
      supersedes: null,
      precondition: null,
      extra: {},
    });
    const commands = rig.observer.events.filter(
      ({ type }) => type === "command",
    );
    assert.equal(commands, [{ type: "command", state: "accepted", count: 1 }]);
  }),
);

giving(
  "the older form `command` reaches the device as both, other keys too",
  () =>
    withGateway(async (rig) => {
      await bringOnline(rig, "dev-1");
      const answer = await rig.post("/api/v1/devices/dev-1/command", {
        command: "start",
        speed: 3,
        queue: false,
        ttl_s: 5,
        cmd_id: "mine",
        schema: "v9",
        ts: 1,
        expires_at: 2,
      });
      assert.is(answer.status, 202);
      assert.match(
        (answer.body as { status_url: string }).status_url,
        /^\/api\/v1\/devices\/dev-1\/commands\/[0-9A-Z]{26}$/,
      );
      const value = valueOf(rig);
      assert.is(value["op"], "start");
      assert.equal(value["params"], {});
      assert.equal(value["extra"], { command: "start", speed: 3 });
      assert.is.not(value["cmd_id"], "mine");
      assert.is(value["expires_at"], "2026-01-15T10:00:05.000Z");
    }),
);

giving("slot and condition go with it to the log", () =>
  withGateway(async (rig) => {
    await bringOnline(rig, "dev-1");
    const precondition = { point: "status", op: "ne", value: "RUN" };
    const answer = await rig.post("/devices/dev-1/command", {
      op: "start",
      supersedes: "speed",
      precondition,
    });
    assert.is(answer.status, 202);
    assert.is(valueOf(rig)["supersedes"], "speed");
    assert.equal(valueOf(rig)["precondition"], precondition);
    assert.equal(valueOf(rig)["extra"], {});
  }),
);

giving("ids of one millisecond still rise", () =>
  withGateway(async (rig) => {
    await bringOnline(rig, "dev-1");
    for (let i = 0; i < 50; i++)
      await rig.post("/devices/dev-1/command", { op: "x" });
    const ids = rig.log.appended.map((_, i) =>
      String(valueOf(rig, i)["cmd_id"]),
    );
    assert.equal(ids, ids.toSorted());
    assert.is(new Set(ids).size, 50);
    assert.is(valueOf(rig)["expires_at"], "2026-01-15T10:01:00.000Z");
  }),
);

giving("refuses an offline device with 409, unless the command may wait", () =>
  withGateway(async (rig) => {
    await bringOnline(rig, "other");
    rig.records.known.push({
      deviceId: "dev-1",
      tenant: "default",
      site: null,
      online: false,
      lastSeenUs: NOW_US - 600_000_000,
      cause: "silence",
    });
    const refused = await rig.post("/devices/dev-1/command", { op: "x" });
    assert.is(refused.status, 409);
    assert.is(problemIn(refused).code, "DEVICE_OFFLINE");
    assert.match(problemIn(refused).detail, "2026-01-15T09:50:00.000Z");
    assert.match(problemIn(refused).detail, '"queue": true');
    assert.is(
      (await rig.post("/devices/ghost/command", { op: "x" })).status,
      409,
    );
    assert.is(rig.log.appended.length, 0);
    const queued = await rig.post("/devices/dev-1/command", {
      op: "x",
      queue: true,
    });
    assert.is(queued.status, 202);
    assert.is(valueOf(rig)["queue"], true);
  }),
);

giving("asks the database whether it is online when Redis has no set", () =>
  withGateway(async (rig) => {
    const device = {
      deviceId: "dev-1",
      tenant: "default",
      site: null,
      online: true,
      lastSeenUs: NOW_US - 10_000_000,
      cause: null,
    };
    rig.records.known.push(device);
    assert.is(
      (await rig.post("/devices/dev-1/command", { op: "x" })).status,
      202,
    );
    rig.time.nowMs += 60_000;
    assert.is(
      (await rig.post("/devices/dev-1/command", { op: "x" })).status,
      409,
    );
  }),
);

giving(
  "says so when the log did not acknowledge, with the id to look for",
  () =>
    withGateway(async (rig) => {
      await bringOnline(rig, "dev-1");
      rig.log.fail = new TwinstreamError(
        "LOG_UNREACHABLE",
        "10.0.0.7:9092 refused",
      );
      const answer = await rig.post("/devices/dev-1/command", { op: "x" });
      assert.is(answer.status, 503);
      assert.is(problemIn(answer).code, "LOG_UNREACHABLE");
      assert.match(problemIn(answer).detail, /may or may not .* [0-9A-Z]{26}/);
      assert.not.match(answer.text, "10.0.0.7");
      assert.is(answer.headers["retry-after"], "5");
      assert.not(rig.view.calls.includes("rememberCommand"));
    }),
);

giving(
  "takes no more once many wait for the log, and says that it did not",
  () =>
    withGateway(async (rig) => {
      let answer = (): void => undefined;
      const gate = new Promise<void>((resolve) => (answer = resolve));
      let appends = 0;
      rig.log.append = () => {
        appends += 1;
        return gate;
      };
      const give = () =>
        rig.post("/devices/dev-1/command", { op: "x", queue: true });
      const first = Array.from({ length: 256 }, give);
      await until(() => appends === 256, {
        withinMs: 5000,
        what: "256 commands on their way",
      });
      const refused = await give();
      assert.is(refused.status, 503);
      assert.match(problemIn(refused).detail, "was not taken");
      answer();
      for (const one of await Promise.all(first)) assert.is(one.status, 202);
      assert.is((await give()).status, 202);
    }),
);

giving("stays accepted when only remembering it fails", () =>
  withGateway(async (rig) => {
    await bringOnline(rig, "dev-1");
    const broken: GatewayRig["view"] = rig.view;
    broken.rememberCommand = async () => {
      throw new TwinstreamError("VIEW_UNREACHABLE");
    };
    const answer = await rig.post("/devices/dev-1/command", { op: "x" });
    assert.is(answer.status, 202);
    assert.ok(rig.observer.events.some((event) => event.type === "failure"));
  }),
);
giving.run();

const reading = suite("GET /devices/:id/commands");

reading("a command not yet applied is accepted", () =>
  withGateway(async (rig) => {
    await bringOnline(rig, "dev-1");
    const posted = await rig.post("/devices/dev-1/command", {
      op: "x",
      params: [1],
    });
    const { cmd_id: cmdId, status_url: url } = posted.body as Record<
      string,
      string
    >;
    assert.equal((await rig.get(url ?? "")).body, {
      cmd_id: cmdId,
      device_id: "dev-1",
      op: "x",
      params: [1],
      state: "accepted",
      ok: null,
      err: null,
      history: [
        {
          state: "accepted",
          at: "2026-01-15T10:00:00.000Z",
          evidence: "log",
        },
      ],
      created_at: "2026-01-15T10:00:00.000Z",
      expires_at: "2026-01-15T10:01:00.000Z",
    });
  }),
);

reading("shows the row once there is one", () =>
  withGateway(async (rig) => {
    rig.records.given.push(given("01A"));
    await rig.view.rememberCommand("dev-1", {
      cmdId: "01A",
      op: "reset_fault",
      params: {},
      createdMs: NOW_MS,
      expiresMs: NOW_MS,
    });
    assert.equal((await rig.get("/devices/dev-1/commands/01A")).body, {
      cmd_id: "01A",
      device_id: "dev-1",
      op: "reset_fault",
      params: { level: 2 },
      state: "acked",
      ok: true,
      err: null,
      history: [
        { state: "queued", at: "2026-01-15T10:00:00.010Z", evidence: "row" },
      ],
      by: "ana",
      supersedes: null,
      precondition: null,
      created_at: "2026-01-15T10:00:00.000Z",
      expires_at: "2026-01-15T10:01:00.000Z",
    });
  }),
);

reading("lists newest first, in pages", () =>
  withGateway(async (rig) => {
    rig.records.given.push(given("01A"), given("01C"), given("01B"));
    const first = (await rig.get("/devices/dev-1/commands?limit=2")).body as {
      device_id: string;
      commands: { cmd_id: string }[];
      next: string | null;
    };
    assert.is(first.device_id, "dev-1");
    assert.equal(
      first.commands.map((command) => command.cmd_id),
      ["01C", "01B"],
    );
    assert.is(first.next, "01B");
    const second = (await rig.get("/devices/dev-1/commands?limit=2&cursor=01B"))
      .body as typeof first;
    assert.equal(
      second.commands.map((command) => command.cmd_id),
      ["01A"],
    );
    assert.is(second.next, null);
  }),
);

reading("is empty for a device without, 404 for what is not there", () =>
  withGateway(async (rig) => {
    await bringOnline(rig, "dev-1");
    assert.equal((await rig.get("/devices/dev-1/commands")).body, {
      device_id: "dev-1",
      commands: [],
      next: null,
    });
    assert.is(
      problemIn(await rig.get("/devices/ghost/commands")).code,
      "DEVICE_UNKNOWN",
    );
    const missing = await rig.get("/devices/dev-1/commands/01X");
    assert.is(missing.status, 404);
    assert.is(problemIn(missing).code, "COMMAND_UNKNOWN");
  }),
);
reading.run();
