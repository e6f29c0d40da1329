/** The processor that believes every record: parsed and taken as it is, no form, time, tenant or place judged. */
import type { Decoder } from "../../../src/domain/decode.js";
import type { LogRecord, Message } from "../../../src/domain/message.js";
import { startProcessor } from "../../../src/main/processor.js";
import { runRoles } from "../../../src/main/role.js";

interface Told {
  readonly device_id: string;
  readonly payload: {
    readonly ts: string;
    readonly points: readonly {
      readonly name: string;
      readonly t: string;
      readonly v: number;
      readonly u: string;
    }[];
    readonly meta: { readonly fw: string };
  };
  readonly timestamp: number;
}
const BEFORE_PAYLOAD = '"payload":';
const AFTER_PAYLOAD = ',"timestamp":';

function believe(record: LogRecord): Message {
  const text = record.value!.toString();
  const { device_id: deviceId, payload, timestamp } = JSON.parse(text) as Told;
  return {
    kind: "data",
    source: record,
    address: deviceId,
    tenant: "default",
    deviceId,
    site: null,
    arrivalUs: Math.round(timestamp * 1e6),
    timeUs: Date.parse(payload.ts) * 1000,
    points: payload.points.map(({ name, t, v, u }, item) => ({
      name,
      type: t,
      typeClass: "num",
      value: v,
      text: null,
      unit: u,
      item,
    })),
    conflicts: [],
    refused: [],
    payload: text.slice(
      text.indexOf(BEFORE_PAYLOAD) + BEFORE_PAYLOAD.length,
      text.lastIndexOf(AFTER_PAYLOAD),
    ),
    untimedId: null,
    redelivered: false,
    adapter: "v1",
    firmware: payload.meta.fw,
  };
}

const trusting = (own: Decoder): Decoder => ({ ...own, decode: believe });

await runRoles([
  {
    name: "processor",
    start: (base) => startProcessor(base, { decoder: trusting }),
  },
]);
