/** A bridge between an in-memory broker and a log whose every append the test answers. */
import {
  type Bridge,
  type BridgeSettings,
  createBridge,
} from "../../src/pipeline/bridge.js";
import type {
  InboundPacket,
  LogWriter,
  OutgoingRecord,
  PacketSource,
  TelemetryEvent,
} from "../../src/ports.js";
import {
  createFakeBroker,
  type FakeBroker,
} from "../conformance/mqtt-fakes.js";
import { until } from "../support/wait.js";

/** Client id of the bridge. */
export const ID = "bridge-t";
export const patience = { withinMs: 2000 };

/** A log that keeps every append waiting until it is told how it went. */
function createHandLog() {
  const waiting: {
    records: readonly OutgoingRecord[];
    resolve: () => void;
    reject: (error: Error) => void;
  }[] = [];
  const stored: OutgoingRecord[] = [];
  let appends = 0;
  const log: LogWriter = {
    append: (_, records) =>
      new Promise<void>((resolve, reject) => {
        appends += 1;
        waiting.push({ records, resolve, reject });
      }),
  };
  async function next() {
    const call = await until(() => waiting[0], {
      ...patience,
      what: "an append",
    });
    waiting.shift();
    return call;
  }
  return {
    log,
    stored,
    waiting,
    appends: () => appends,
    /** Acknowledges the next append and answers its records. */
    accept: async (): Promise<readonly OutgoingRecord[]> => {
      const { records, resolve } = await next();
      stored.push(...records);
      resolve();
      return records;
    },
    refuse: async (error: Error): Promise<readonly OutgoingRecord[]> => {
      const { records, reject } = await next();
      reject(error);
      return records;
    },
  };
}

export type Ground = ReturnType<typeof createHandLog> & {
  broker: FakeBroker;
  bridge: Bridge;
  source: PacketSource;
  /** Packet ids in the order in which they were acknowledged, dropped ones included. */
  acknowledged: InboundPacket[];
  events: TelemetryEvent[];
  publish: (device: string, payload: string, qos?: 0 | 1) => void;
};

export async function withBridge(
  use: (ground: Ground) => Promise<void>,
  settings: Partial<BridgeSettings> = {},
  probed: (text: string) => void = () => undefined,
  planted: (own: PacketSource) => PacketSource = (own) => own,
): Promise<void> {
  const broker = createFakeBroker();
  const hand = createHandLog();
  const acknowledged: InboundPacket[] = [];
  const events: TelemetryEvent[] = [];
  const plain = planted(broker.source(ID));
  const source: PacketSource = {
    ...plain,
    acknowledge(packets) {
      acknowledged.push(...packets);
      plain.acknowledge(packets);
    },
  };
  const bridge = createBridge(
    {
      source,
      log: hand.log,
      clock: Date.now,
      observer: { emit: (event) => events.push(event) },
      probed,
    },
    {
      topic: "iot-data",
      bridgeId: ID,
      prefix: "traksense",
      window: 100,
      windowBytes: 10_000_000,
      lingerMs: 1,
      backoff: { firstMs: 1, maxMs: 2, factor: 2, jitter: 0 },
      ...settings,
    },
  );
  await bridge.start();
  try {
    await use({
      ...hand,
      broker,
      bridge,
      source,
      acknowledged,
      events,
      publish: (device, payload, qos) =>
        broker.publish(`devices/${device}/data`, payload, qos),
    });
  } finally {
    await bridge.stop(0);
  }
}
