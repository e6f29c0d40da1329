/** How long from publish until a dashboard hears of it, and until its row can be read. */
import { setTimeout as pause } from "node:timers/promises";
import { countLatencies, type Latencies } from "../../simulator/latency.js";
import type { Seen } from "./checks.js";
import type { Ground } from "./ground.js";
import { message } from "./sample.js";
import { NotSo, until } from "./wait.js";

const MESSAGES = 60;
/** Between two messages: most meet a quiet lane, as a device's own do. */
const PACE_MS = 50;
const LOOK_MS = 5;
/** Of the median, to either place. */
const LIMIT_MS = 1000;

export async function latency(
  ground: Ground,
  signal: AbortSignal,
): Promise<Seen> {
  const device = ground.device("latency");
  const line = await ground.line();
  const sentMs = new Map<number, number>();
  const toRedis = countLatencies();
  let heard = 0;
  await ground.view.listen(device.address, (text) => {
    const { payload } = JSON.parse(text) as {
      payload: { points: { name: string; v: number }[] };
    };
    const seq = payload.points.find(({ name }) => name === "seq")?.v ?? -1;
    toRedis.add(performance.now() - (sentMs.get(seq) ?? Number.NaN));
    heard += 1;
  });

  device.settled = false;
  const toRow = countLatencies();
  let stored = 0;
  const rows = until(
    signal,
    () =>
      `${MESSAGES} messages of ${device.id} in ts_measure; ${stored} are there`,
    async () => {
      const { store, tenant } = ground;
      const newest = await store.greatest(tenant, device.id, "seq");
      const nowMs = performance.now();
      for (; newest !== null && stored <= newest; stored += 1)
        toRow.add(nowMs - sentMs.get(stored)!);
      return stored === MESSAGES;
    },
    LOOK_MS,
  );
  // Awaited below, whatever becomes of the publishing.
  rows.catch(() => undefined);
  for (let seq = 0; seq < MESSAGES && !signal.aborted; seq += 1) {
    sentMs.set(seq, performance.now());
    await line.publish(device.topic("data"), message(seq, Date.now()));
    await pause(PACE_MS);
  }
  await rows;
  device.settled = true;
  // The row comes after Redis, but a subscriber's message has its own way to here.
  await until(
    signal,
    () => `${MESSAGES} updates of ${device.id} at a subscriber; ${heard} came`,
    () => heard >= MESSAGES,
  );
  const figures = {
    redis_p50_ms: share(toRedis, 0.5),
    redis_p99_ms: share(toRedis, 0.99),
    row_p50_ms: share(toRow, 0.5),
    row_p99_ms: share(toRow, 0.99),
  };
  const found = `to a Redis subscriber p50 ${figures.redis_p50_ms} ms, p99 ${figures.redis_p99_ms} ms; to the row p50 ${figures.row_p50_ms} ms, p99 ${figures.row_p99_ms} ms`;
  if (figures.redis_p50_ms > LIMIT_MS || figures.row_p50_ms > LIMIT_MS)
    throw new NotSo(`a median is above ${LIMIT_MS} ms: ${found}`);
  return { found, figures };
}

const share = (latencies: Latencies, of: number): number =>
  Math.round((latencies.percentile(of) ?? Number.NaN) * 10) / 10;
