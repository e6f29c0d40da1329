/** A command's life, and acks that come again: one row, and the same one. */
import type { Seen } from "./checks.js";
import { shown } from "./gateway-client.js";
import type { Ground } from "./ground.js";
import { message } from "./sample.js";
import { NotSo, until } from "./wait.js";

const TTL_S = 300;
const LATER_MS = 1000;

export async function acksCount(
  ground: Ground,
  signal: AbortSignal,
): Promise<Seen> {
  const { store, tenant, gateway } = ground;
  const token = await ground.ownToken(signal);
  const device = ground.device("acks");
  const line = await ground.line(device.topic("commands"));
  device.settled = false;
  // A tenant's device is sent commands at its site, which is known from what it has said.
  await line.publish(device.topic("data"), message(0, Date.now()));
  await until(
    signal,
    () => `rows of ${device.id} in ts_measure`,
    async () => (await store.countReadings(tenant, [device.id])) > 0,
  );
  const beganMs = performance.now();
  const given = await gateway.ask(signal, `/devices/${device.id}/command`, {
    token,
    body: { op: "validate", ttl_s: TTL_S },
  });
  const id = given.body?.["cmd_id"];
  if (given.status !== 202 || typeof id !== "string")
    throw new NotSo(
      `POST /devices/${device.id}/command answers ${shown(given)}`,
    );
  await until(
    signal,
    () => `the command ${id} at its device`,
    () => line.heard.some((command) => command["cmd_id"] === id),
  );
  const heardMs = Math.round(performance.now() - beganMs);

  const executedMs = Date.now();
  const ack = (cmdId: string, ok: boolean, atMs: number): Promise<void> =>
    line.publish(
      device.topic("ack"),
      JSON.stringify({
        schema: "v1",
        cmd_id: cmdId,
        ok,
        ts_exec: new Date(atMs).toISOString(),
        err: ok ? null : "changed my mind",
      }),
    );
  const state = async (): Promise<unknown> => {
    const path = `/devices/${device.id}/commands/${id}`;
    return (await gateway.ask(signal, path, { token })).body?.["state"];
  };
  await ack(id, true, executedMs);
  let seen: unknown;
  await until(
    signal,
    () => `the command ${id} to be acked; it is ${String(seen)}`,
    async () => (seen = await state()) === "acked",
  );
  const ackedMs = Math.round(performance.now() - beganMs);
  const before = await store.acks(tenant, id);

  await ack(id, true, executedMs);
  await ack(id, true, executedMs);
  await ack(id, false, executedMs + LATER_MS);
  // Acks of one device take effect in their order: once this one is there, so are those before it.
  const last = `${ground.run}-last`;
  await ack(last, true, executedMs);
  await until(
    signal,
    () => "the acks to take effect",
    async () => (await store.acks(tenant, last)).length > 0,
  );
  device.settled = true;
  const after = await store.acks(tenant, id);
  if (before.length !== 1 || after.length !== 1 || before[0] !== after[0])
    throw new NotSo(
      `cmd_ack had ${before.join(" and ")} after the first ack and ${after.join(" and ")} after the others`,
    );
  seen = await state();
  if (seen !== "acked")
    throw new NotSo(`the command was acked, and is ${String(seen)} now`);
  return {
    found: `a command was at its device within ${heardMs} ms, acked within ${ackedMs} ms; two equal acks and a differing one left its one row as it was`,
    figures: { heard_ms: heardMs, acked_ms: ackedMs },
  };
}
