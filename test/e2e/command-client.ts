/** Whoever gives commands, watches what becomes of them, and looks at the rows behind. */
import * as assert from "uvu/assert";
import type { Running } from "../support/fleet.js";
import { until } from "../support/wait.js";
import { getJson, postJson } from "./http.js";
import { connectDevice, type Ack, type MqttDevice } from "./mqtt-device.js";

const ULID = /^[0-9A-HJKMNP-TV-Z]{26}$/;
export const PATIENCE_MS = 20_000;

export interface Accepted {
  readonly cmd_id: string;
  readonly state: string;
  readonly status_url: string;
}

export interface Command {
  readonly cmd_id: string;
  readonly device_id: string;
  readonly op: string;
  readonly params: unknown;
  readonly state: string;
  readonly ok: boolean | null;
  readonly err: string | null;
  readonly history: { state: string; at: string; evidence: string }[];
}

/** Connected, and online as the gateway sees it. */
export async function onlineDevice(
  running: Running,
  id: string,
): Promise<MqttDevice> {
  const device = await connectDevice(running, id);
  await device.hello();
  await until(
    async () => {
      const { body } = await getJson<{ online?: boolean }>(
        `${running.http}/devices/${id}`,
      );
      return body.online === true;
    },
    { withinMs: PATIENCE_MS, what: `${id} to be online` },
  );
  return device;
}

export async function give(
  running: Running,
  device: string,
  body: object,
): Promise<Accepted> {
  const answer = await postJson<Accepted>(
    `${running.http}/devices/${device}/command`,
    body,
  );
  assert.is(answer.status, 202, JSON.stringify(answer.body));
  assert.match(answer.body.cmd_id, ULID);
  assert.is(answer.body.state, "accepted");
  assert.is(
    answer.body.status_url,
    `/devices/${device}/commands/${answer.body.cmd_id}`,
  );
  return answer.body;
}

export const shown = async (
  running: Running,
  given: Accepted,
): Promise<Command> =>
  (await getJson<Command>(running.http + given.status_url)).body;

export const reached = (
  running: Running,
  given: Accepted,
  state: string,
): Promise<Command> =>
  until(
    async () => {
      const command = await shown(running, given);
      return command.state === state && command;
    },
    { withinMs: PATIENCE_MS, what: `${given.cmd_id} to be ${state}` },
  );

/** Publishes an ack and waits until it is stored. */
export async function answer(
  running: Running,
  device: MqttDevice,
  ack: Pick<Ack, "cmd_id"> & Partial<Ack>,
): Promise<void> {
  const before = await storedMessages(running);
  await device.ack({
    ok: true,
    ts_exec: "2026-01-02T03:04:05Z",
    err: null,
    ...ack,
  });
  await until(async () => (await storedMessages(running)) > before, {
    withinMs: PATIENCE_MS,
    what: "the ack to be stored",
  });
}

/** How many records of `iot-data` are stored; nothing but the test's own devices adds to them. */
async function storedMessages({ database }: Running): Promise<number> {
  const { rows } = await database.query<{ n: string }>(
    "SELECT coalesce(sum(greatest(next_offset, 0)), 0) AS n FROM stream_offsets WHERE topic = 'iot-data'",
  );
  return Number(rows[0]!.n);
}

export async function keptAcks(running: Running, cmdId: string) {
  const { rows } = await running.database.query<{
    ok: boolean;
    ts: string;
    err: string | null;
    late: boolean;
    known: boolean;
    line: string;
  }>(
    "SELECT ok, ts_exec::text AS ts, err, late, known, a::text AS line FROM cmd_ack a WHERE cmd_id = $1",
    [cmdId],
  );
  return rows;
}

export const states = ({ history }: Command): string[] =>
  history.map(({ state }) => state);
