/** Many readings of several devices, sent as fast as the broker takes them: all stored, and how fast. */
import type { Seen } from "./checks.js";
import type { Ground } from "./ground.js";
import { message, POINTS_A_MESSAGE } from "./sample.js";
import { NotSo, until, within } from "./wait.js";

const DEVICES = 10;
/** Counting costs the database something as well. */
const LOOK_MS = 100;

export async function throughput(
  ground: Ground,
  signal: AbortSignal,
): Promise<Seen> {
  const { store, tenant, settings } = ground;
  const devices = Array.from({ length: DEVICES }, (_, n) =>
    ground.device(`throughput-${n}`),
  );
  const ids = devices.map(({ id }) => id);
  const each = Math.ceil(settings.points / POINTS_A_MESSAGE / DEVICES);
  const points = each * DEVICES * POINTS_A_MESSAGE;
  const line = await ground.line();
  for (const device of devices) device.settled = false;
  const firstMs = Date.now() - each;
  const beganMs = performance.now();
  const published: Promise<void>[] = [];
  for (let seq = 0; seq < each; seq += 1)
    for (const device of devices)
      published.push(
        line.publish(device.topic("data"), message(seq, firstMs + seq)),
      );
  await within(
    signal,
    `the broker to take ${published.length} messages`,
    Promise.all(published),
  );
  const takenMs = performance.now() - beganMs;
  let rows = 0;
  await until(
    signal,
    () => `${points} rows in ts_measure; there are ${rows}`,
    async () => {
      rows = await store.countReadings(tenant, ids);
      return rows >= points;
    },
    LOOK_MS,
  );
  const ms = performance.now() - beganMs;
  for (const device of devices) device.settled = true;
  if (rows !== points)
    throw new NotSo(`ts_measure has ${rows} rows for ${points} readings`);
  const rate = Math.round(points / (ms / 1000));
  return {
    found: `${points} readings in ${published.length} messages of ${DEVICES} devices stored within ${(ms / 1000).toFixed(2)} s: ${rate} readings/s (taken by the broker within ${(takenMs / 1000).toFixed(2)} s)`,
    figures: { points, ms: Math.round(ms), points_per_second: rate },
  };
}
