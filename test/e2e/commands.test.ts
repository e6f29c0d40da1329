/**
 * A command's whole life, from the request to the device and back, over real HTTP, log, MQTT and database. Longer than 300
 * lines: the stories share a stack.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { withRunning, type Running } from "../support/fleet.js";
import { type DiesAt, MORTAL_PROCESSOR } from "../support/mortal-processor.js";
import { startRole } from "../support/roles.js";
import { until, within } from "../support/wait.js";
import {
  answer,
  give,
  keptAcks,
  onlineDevice,
  PATIENCE_MS,
  reached,
  shown,
  states,
  type Accepted,
  type Command,
} from "./command-client.js";
import { getJson, postJson } from "./http.js";
import { connectDevice, type MqttDevice } from "./mqtt-device.js";

const test = suite("commands");

test("from the request to the ack, and whatever else may happen to a command", async () => {
  // A device counts as online only while it speaks; here it speaks once.
  await withRunning({ DEVICE_OFFLINE_TIMEOUT: "600" }, async (running) => {
    await running.start("bridge");
    await running.start("processor");
    await running.start("gateway");
    const device = await onlineDevice(running, "press-1");
    const acked = await wholeLife(running, device);
    await ackedAgain(running, device, acked);
    await otherForms(running, device);
    await failedByDevice(running, device);
    await unknownId(running, device);
    await offlineAndQueued(running);
    await neverAnswered(running, device);
    await queuedUp(running);
    await withdrawn(running);
    await listed(running, device);
  });
});

async function wholeLife(
  running: Running,
  device: MqttDevice,
): Promise<Accepted> {
  const given = await give(running, device.id, {
    op: "reset_fault",
    params: { zone: 3, deep: { list: [1, "two", null] } },
    by: "ana",
    ttl_s: 30,
    trace: { id: 7 },
  });
  const heard = await device.heard(given.cmd_id);
  const { ts, expires_at: expiresAt, ...rest } = heard;
  assert.equal(
    rest,
    {
      schema: "v1",
      cmd_id: given.cmd_id,
      op: "reset_fault",
      params: { zone: 3, deep: { list: [1, "two", null] } },
      by: "ana",
      trace: { id: 7 },
    },
    "what the device hears: extra keys too, and no reserved ones",
  );
  assert.is(
    Date.parse(String(expiresAt)) - Date.parse(String(ts)),
    30_000,
    "ttl_s",
  );
  const delivered = await reached(running, given, "delivered");
  assert.is(delivered.ok, null);
  await answer(running, device, { cmd_id: given.cmd_id });
  const { history, ...command } = await reached(running, given, "acked");
  assert.is(command.ok, true);
  assert.is(command.err, null);
  assert.is(command.device_id, device.id);
  assert.is(command.op, "reset_fault");
  assert.equal(command.params, { zone: 3, deep: { list: [1, "two", null] } });
  assert.equal(
    history.map(({ state }) => state),
    ["accepted", "queued", "sent", "delivered", "acked"],
  );
  const times = history.map(({ at }) => Date.parse(at));
  assert.equal(
    times,
    times.toSorted((a, b) => a - b),
    "its history ascends",
  );
  assert.ok(history.every(({ evidence }) => evidence.length > 0));
  for (const { at } of history) assert.match(at, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.is(device.commands.length, 1, "the device heard it once");
  return given;
}

async function ackedAgain(
  running: Running,
  device: MqttDevice,
  given: Accepted,
): Promise<void> {
  const { cmd_id } = given;
  const before = {
    acks: await keptAcks(running, cmd_id),
    command: await shown(running, given),
  };
  assert.is(before.acks.length, 1);
  const after = async () => ({
    acks: await keptAcks(running, cmd_id),
    command: await shown(running, given),
  });
  await answer(running, device, { cmd_id });
  await answer(running, device, { cmd_id });
  assert.equal(await after(), before, "the same ack changes nothing");

  await answer(running, device, {
    cmd_id,
    ok: false,
    ts_exec: "2026-01-02T03:04:06Z",
    err: "changed my mind",
  });
  assert.equal(await after(), before, "a later differing ack changes nothing");

  await answer(running, device, {
    cmd_id,
    ok: false,
    ts_exec: "2026-01-02T03:04:04Z",
    err: "it was earlier",
  });
  const { acks, command } = await after();
  assert.equal(command, before.command, "a terminal state never changes");
  assert.is(acks.length, 1);
  const { ok, ts, err, late, known } = acks[0]!;
  assert.equal(
    { ok, ts, err, late, known },
    {
      ok: false,
      ts: "2026-01-02 03:04:04+00",
      err: "it was earlier",
      late: true,
      known: true,
    },
    "the ack with the smallest ts_exec stands, as late",
  );
}

async function otherForms(running: Running, device: MqttDevice): Promise<void> {
  const given = await give(running, device.id, { command: "start", speed: 9 });
  const { command, op, speed, params } = await device.heard(given.cmd_id);
  assert.equal(
    { command, op, speed, params },
    { command: "start", op: "start", speed: 9, params: {} },
  );
  const refused = await postJson<{ status: number; code: string }>(
    `${running.http}/devices/${device.id}/command`,
    { speed: 9 },
  );
  assert.is(refused.status, 400);
  assert.is(refused.body.code, "BAD_REQUEST");
  const versioned = await getJson<Command>(
    `${running.http}/api/v1${given.status_url}`,
  );
  assert.is(versioned.body.cmd_id, given.cmd_id, "under /api/v1 too");
}

async function failedByDevice(
  running: Running,
  device: MqttDevice,
): Promise<void> {
  const given = await give(running, device.id, { op: "open" });
  await device.heard(given.cmd_id);
  await answer(running, device, {
    cmd_id: given.cmd_id,
    ok: false,
    err: "the valve is stuck",
  });
  const command = await reached(running, given, "failed");
  assert.is(command.ok, false);
  assert.is(command.err, "the valve is stuck");
  assert.is(states(command).at(-1), "failed");
}

async function unknownId(running: Running, device: MqttDevice): Promise<void> {
  const all = async () => {
    const { rows } = await running.database.query(
      "SELECT c::text FROM commands c ORDER BY cmd_id",
    );
    return rows;
  };
  const before = await all();
  await answer(running, device, { cmd_id: "never-given" });
  const [ack, ...more] = await keptAcks(running, "never-given");
  assert.equal(more, []);
  assert.is(ack?.known, false, "it is kept");
  assert.equal(await all(), before, "and changes no command");
  const asked = await getJson<{ code: string }>(
    `${running.http}/devices/${device.id}/commands/never-given`,
  );
  assert.is(asked.status, 404);
  assert.is(asked.body.code, "COMMAND_UNKNOWN");
}

async function offlineAndQueued(running: Running): Promise<void> {
  const url = `${running.http}/devices/press-2/command`;
  const refused = await postJson<{ status: number; code: string }>(url, {
    op: "start",
  });
  assert.is(refused.status, 409);
  assert.is(refused.body.status, 409);
  assert.is(refused.body.code, "DEVICE_OFFLINE");
  assert.is(refused.contentType, "application/problem+json; charset=utf-8");

  const given = await give(running, "press-2", { op: "start", queue: true });
  await until(
    async () =>
      (await shown(running, given)).history.at(-1)?.evidence ===
      "no_subscriber",
    { withinMs: PATIENCE_MS, what: "the broker to find nobody" },
  );
  const waiting = await shown(running, given);
  assert.equal(states(waiting), ["accepted", "queued", "sent", "queued"]);
  const device = await connectDevice(running, "press-2");
  await device.hello();
  const heard = await device.heard(given.cmd_id);
  assert.not("queue" in heard, "reserved keys are not passed through");
  await answer(running, device, { cmd_id: given.cmd_id });
  await reached(running, given, "acked");
}

async function neverAnswered(
  running: Running,
  device: MqttDevice,
): Promise<void> {
  const given = await give(running, device.id, { op: "start", ttl_s: 2 });
  await device.heard(given.cmd_id);
  const expired = await reached(running, given, "expired");
  assert.is(expired.ok, null);
  const last = expired.history.at(-1)!;
  const begun = Date.parse(expired.history[0]!.at);
  assert.ok(Date.parse(last.at) - begun >= 2000, "not before its time");
  await answer(running, device, { cmd_id: given.cmd_id });
  assert.equal(await shown(running, given), expired, "terminal for good");
  const [ack] = await keptAcks(running, given.cmd_id);
  assert.is(ack?.late, true, "the ack that came too late is kept as that");
}

/** More than go to a device at a time, none of them acknowledged. */
async function queuedUp(running: Running): Promise<void> {
  const given: string[] = [];
  for (let n = 0; n < 20; n++) {
    const order = { op: `step-${n}`, queue: true, ttl_s: 300 };
    given.push((await give(running, "press-6", order)).cmd_id);
  }
  const device = await connectDevice(running, "press-6");
  await device.hello();
  await device.heard(given.at(-1)!);
  const heard = device.commands.map(({ cmd_id }) => cmd_id);
  assert.equal(heard, given, "each once, in their order");
}

/** Keys, slots, conditions, cancellations and waiting, as a client sees them. */
async function withdrawn(running: Running): Promise<void> {
  const device = await onlineDevice(running, "press-5");
  const url = `${running.http}/devices/${device.id}/command`;
  const key = { "idempotency-key": "shift-7" };
  const order = { op: "slow", supersedes: "speed", ttl_s: 300 };
  const asked = [1, 2].map(() => postJson<Accepted>(url, order, key));
  const [first, again] = await Promise.all(asked);
  assert.is(first!.body.cmd_id, again!.body.cmd_id);
  const other = await postJson(url, { ...order, op: "fast" }, key);
  assert.is(other.status, 422);
  await device.heard(first!.body.cmd_id);
  await reached(running, first!.body, "delivered");

  const fast = await give(running, device.id, { ...order, op: "fast" });
  const over = await reached(running, first!.body, "superseded");
  assert.match(over.history.at(-1)!.evidence, fast.cmd_id);

  const canceled = await fetch(`${running.http}${fast.status_url}?wait=20`, {
    method: "DELETE",
  });
  assert.is(canceled.status, 200);
  assert.is(((await canceled.json()) as Command).state, "canceled");
  await answer(running, device, { cmd_id: fast.cmd_id });
  assert.is((await keptAcks(running, fast.cmd_id))[0]?.late, true);

  await device.data({ status: "RUN" });
  await running.settled();
  const guarded = await postJson<Command>(`${url}?wait=20`, {
    op: "start",
    precondition: { point: "status", op: "eq", value: "STOP" },
  });
  assert.is(guarded.status, 200);
  assert.is(guarded.body.state, "rejected");
  assert.match(guarded.body.history.at(-1)!.evidence, '"status" is "RUN"');
  const heard = device.commands.map(({ cmd_id }) => cmd_id);
  assert.not(heard.includes(guarded.body.cmd_id));
}

async function listed(running: Running, device: MqttDevice): Promise<void> {
  const { body } = await getJson<{
    device_id: string;
    commands: Command[];
    next: string | null;
  }>(`${running.http}/devices/${device.id}/commands`);
  assert.is(body.device_id, device.id);
  assert.is(body.next, null);
  assert.equal(
    body.commands.map(({ op, state }) => `${op} ${state}`),
    ["start expired", "open failed", "start delivered", "reset_fault acked"],
    "the newest first",
  );
}

test("killed at any step, gateway and processors leave a command with one history", async () => {
  await withRunning({}, async (running) => {
    await running.start("bridge");
    const first = await running.start("gateway");
    const device = await connectDevice(running, "press-3");
    const given = await give(running, device.id, { op: "start", ...WAITS });
    await first.kill();
    await running.start("gateway");
    assert.is((await shown(running, given)).state, "accepted");

    await dies(running, "queued");
    assert.equal(states(await shown(running, given)), ["accepted", "queued"]);
    await dies(running, "sent");
    const heard = await device.heard(given.cmd_id);
    await device.ack({
      cmd_id: given.cmd_id,
      ok: true,
      ts_exec: "2026-01-02T03:04:05Z",
      err: null,
    });
    await dies(running, "ack");
    assert.is((await keptAcks(running, given.cmd_id)).length, 0);
    const processor = await immortal(running);
    await oneHistory(running, given, "acked");
    assert.is((await keptAcks(running, given.cmd_id)).length, 1);
    for (const again of device.commands) assert.equal(again, heard);

    // ---- a condition that was found to hold, and is false by the time the next processor looks
    await device.data({ status: "STOP" });
    await running.settled();
    await processor.stop();
    const guarded = await give(running, device.id, {
      op: "start",
      precondition: { point: "status", op: "eq", value: "STOP" },
      ...WAITS,
    });
    await dies(running, "judged");
    await device.data({ status: "RUN" });
    await immortal(running);
    await device.heard(guarded.cmd_id);
    await answer(running, device, { cmd_id: guarded.cmd_id });
    await oneHistory(running, guarded, "acked");
  });
});

const WAITS = { queue: true, ttl_s: 300 };
let groups = 0;
/** The next does not wait until the group has noticed the death of the one before. */
const ownGroup = () => ({ PROCESSOR_GROUP: `processors-${++groups}` });
const immortal = (running: Running) => running.start("processor", ownGroup());

async function dies(running: Running, at: DiesAt): Promise<void> {
  const processor = await startRole(
    "processor",
    { ...running.env, ...ownGroup(), DIES_AT: at },
    { script: MORTAL_PROCESSOR },
  );
  try {
    const end = await within(60_000, processor.ended, `its death at ${at}`);
    assert.is(end, "SIGKILL", processor.output());
  } finally {
    await processor.kill();
  }
}

/** Forward only, each state once, but that it may have been sent, or judged, more than once. */
async function oneHistory(
  running: Running,
  given: Accepted,
  end: string,
): Promise<void> {
  const { history } = await reached(running, given, end);
  const order = ["accepted", "queued", "sent", "delivered", end];
  const places = history.map(({ state }) => order.indexOf(state));
  assert.equal(
    places,
    places.toSorted((a, b) => a - b),
    "it went forward only",
  );
  const ends = history.filter(({ state }) => state === end);
  assert.is(ends.length, 1, "one end");
}

test.run();
