/** Telemetry as a device sends it, and what must come of it. */
import { reasonOf } from "../../errors.js";
import type { Device, Ground } from "./ground.js";
import { REMEDY } from "./names.js";
import { NotSo, until } from "./wait.js";

export const POINTS_A_MESSAGE = 4;

/** A message of the v1 schema with four points of all three type classes. */
export function message(seq: number, tsMs: number): string {
  return JSON.stringify({
    schema: "v1",
    ts: new Date(tsMs).toISOString(),
    points: [
      { name: "mode", t: "enum", v: seq % 2 === 0 ? "RUN" : "STOP" },
      { name: "running", t: "bool", v: seq % 2 === 0 },
      { name: "seq", t: "int", v: seq },
      { name: "temp", t: "float", v: 20 + seq / 4, u: "°C" },
    ],
  });
}

/** The same as the database's rows. */
const rowsOf = (seq: number): string[] => [
  `mode=${seq % 2 === 0 ? "RUN" : "STOP"}`,
  `running=${seq % 2 === 0}`,
  `seq=${seq}`,
  `temp=${20 + seq / 4}`,
];

export interface Sample {
  readonly device: Device;
  readonly messages: number;
  /** Of the newest message, Unix seconds. */
  readonly timestamp: number;
  /** From the first publish until the last row was there. */
  readonly ms: number;
}

const MESSAGES = 20;

/** Sends some messages and waits until their rows are there, and are right. */
export async function sendSample(
  ground: Ground,
  signal: AbortSignal,
  name: string,
): Promise<Sample> {
  const { store, tenant } = ground;
  const device = ground.device(name);
  const line = await ground.line();
  const beganMs = Date.now();
  device.settled = false;
  await Promise.all(
    Array.from({ length: MESSAGES }, (_, seq) =>
      line.publish(
        device.topic("data"),
        message(seq, beganMs - MESSAGES + seq),
      ),
    ),
  );
  const expected = Array.from({ length: MESSAGES }, (_, seq) => rowsOf(seq));
  const wanted = expected.flat();
  let rows: string[] = [];
  await until(
    signal,
    () =>
      `${wanted.length} rows of ${device.id} in ts_measure; there are ${rows.length}`,
    async () => {
      rows = await store.readings(tenant, device.id);
      return rows.length >= wanted.length;
    },
  ).catch((error: unknown) => {
    throw new NotSo(reasonOf(error), REMEDY.telemetry);
  });
  device.settled = true;
  const wrong = rows.findIndex((row, i) => row !== wanted[i]);
  if (wrong !== -1 || rows.length !== wanted.length)
    throw new NotSo(
      `ts_measure has ${rows.length} rows of ${device.id} for ${wanted.length} readings; row ${wrong + 1} is ${rows[wrong]} and not ${wanted[wrong]}`,
    );
  return {
    device,
    messages: MESSAGES,
    timestamp: (beganMs - 1) / 1000,
    ms: Date.now() - beganMs,
  };
}
