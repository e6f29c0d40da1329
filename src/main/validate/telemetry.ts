/** The road of a reading: taken by the broker, stored, shown. */
import type { Seen } from "./checks.js";
import { shown } from "./gateway-client.js";
import type { Ground } from "./ground.js";
import { POINTS_A_MESSAGE, sendSample } from "./sample.js";
import { NotSo } from "./wait.js";

export async function brokerTakes(ground: Ground): Promise<Seen> {
  const device = ground.device("mqtt");
  const beganMs = performance.now();
  await ground.line(device.topic("commands"));
  const ms = Math.round(performance.now() - beganMs);
  return {
    found: `connected and subscribed within ${ms} ms`,
    figures: { ms },
  };
}

export async function telemetryPersists(
  ground: Ground,
  signal: AbortSignal,
): Promise<Seen> {
  const { messages, ms } = await sendSample(ground, signal, "telemetry");
  const rows = messages * POINTS_A_MESSAGE;
  return {
    found: `${messages} messages became ${rows} rows, as sent, within ${ms} ms`,
    figures: { rows, ms },
  };
}

export async function viewShows(
  ground: Ground,
  signal: AbortSignal,
): Promise<Seen> {
  const sample = await sendSample(ground, signal, "view");
  const { address } = sample.device;
  const last = await ground.shown.last(address);
  if (last === null)
    throw new NotSo(`Redis has no device:last_state:${address}`);
  if (last.timestamp !== sample.timestamp)
    throw new NotSo(
      `device:last_state:${address} is of ${last.timestamp}, the newest message of ${sample.timestamp}`,
    );
  const history = await ground.shown.history(
    address,
    0,
    sample.timestamp,
    0,
    sample.messages + 1,
  );
  if (history.length !== sample.messages)
    throw new NotSo(
      `device:history:${address} has ${history.length} of ${sample.messages} messages`,
    );
  return {
    found: `the last state is the newest message, the history has all ${history.length}`,
  };
}

export async function gatewayShows(
  ground: Ground,
  signal: AbortSignal,
): Promise<Seen> {
  const token = await ground.ownToken(signal);
  const { device, messages, timestamp } = await sendSample(
    ground,
    signal,
    "http",
  );
  const beganMs = performance.now();
  const state = await ground.gateway.ask(signal, `/devices/${device.id}`, {
    token,
  });
  const ms = Math.round(performance.now() - beganMs);
  if (state.status !== 200 || state.body?.["timestamp"] !== timestamp)
    throw new NotSo(`GET /devices/${device.id} answers ${shown(state)}`);
  const history = await ground.gateway.ask(
    signal,
    `/devices/${device.id}/history?limit=${messages + 1}`,
    { token },
  );
  const kept = history.body?.["messages"];
  if (!Array.isArray(kept) || kept.length !== messages)
    throw new NotSo(
      `GET /devices/${device.id}/history answers ${shown(history)}`,
    );
  return {
    found: `last state within ${ms} ms, and ${messages} messages of history${token === null ? "; no log-in is asked for (AUTH=off)" : ""}`,
    figures: { ms },
  };
}
