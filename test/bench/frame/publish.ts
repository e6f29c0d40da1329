/** Devices that publish at a rate, each message with the time at which it was published. */
import mqtt from "mqtt";
import { deviceName, payloadOf } from "./backlog.js";

const POINTS = 4;
const CLIENTS = 4;
const TICK_MS = 5;

/** Unix milliseconds with their fraction. */
export const now = (): number => performance.timeOrigin + performance.now();
export const sleep = (ms: number): Promise<void> =>
  new Promise((done) => setTimeout(done, ms));

/** For so many seconds; answers how many messages the broker has acknowledged, which are all. */
export async function publish(
  url: string,
  rate: number,
  seconds: number,
): Promise<number> {
  const devices = Math.min(1000, rate);
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, () => mqtt.connectAsync(url)),
  );
  let sent = 0;
  const acknowledged: Promise<unknown>[] = [];
  const began = now();
  for (;;) {
    const passed = (now() - began) / 1000;
    if (passed >= seconds) break;
    for (const due = Math.floor(passed * rate); sent < due; sent++) {
      const device = sent % devices;
      // A device stays with its connection, which keeps its order.
      const client = clients[device % CLIENTS]!;
      const payload = payloadOf(device, sent, POINTS, Date.now());
      acknowledged.push(
        client.publishAsync(`devices/${deviceName(device)}/data`, payload, {
          qos: 1,
        }),
      );
    }
    await sleep(TICK_MS);
  }
  await Promise.all(acknowledged);
  await Promise.all(clients.map((client) => client.endAsync()));
  return sent;
}
