/**
 * A bridge on real services, in this process or, to be killed, in one of its own (this file run by `fork` with the settings
 * as JSON in its first argument; it says "ready" once subscribed, SIGTERM stops it).
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogWriter } from "../../src/adapters/kafka/writer.js";
import { createPacketSource } from "../../src/adapters/mqtt/packet-source.js";
import { createBridge } from "../../src/pipeline/bridge.js";
import type { Observer } from "../../src/ports.js";

export interface RealBridgeSettings {
  readonly mqttUrl: string;
  readonly brokers: string;
  readonly topic: string;
  readonly clientId: string;
  readonly filters: readonly string[];
  readonly window?: number;
  readonly windowBytes?: number;
}

/** Resolves once subscribed. `stop` answers how many messages were left to the broker. */
export async function startRealBridge(
  settings: RealBridgeSettings,
  observer: Observer,
): Promise<{ stop(withinMs: number): Promise<number> }> {
  const window = settings.window ?? 5000;
  const log = createLogWriter(
    connectLog({
      brokers: settings.brokers.split(","),
      clientId: settings.clientId,
      log: () => undefined,
    }),
  );
  const bridge = createBridge(
    {
      source: createPacketSource({
        url: settings.mqttUrl,
        clientId: settings.clientId,
        filters: settings.filters,
        qos: 1,
        receiveMaximum: window,
        clock: Date.now,
        observer,
      }),
      log,
      observer,
      clock: Date.now,
    },
    {
      topic: settings.topic,
      bridgeId: settings.clientId,
      prefix: "traksense",
      window,
      windowBytes: settings.windowBytes ?? 33_554_432,
      lingerMs: 5,
    },
  );
  await bridge.start();
  return {
    async stop(withinMs) {
      const left = await bridge.stop(withinMs);
      await log.close();
      return left;
    },
  };
}

/** A process that bridges; resolves once it is subscribed. */
export async function forkRealBridge(
  settings: RealBridgeSettings,
): Promise<ChildProcess> {
  const child = fork(fileURLToPath(import.meta.url), [
    JSON.stringify(settings),
  ]);
  const [message] = (await Promise.race([
    once(child, "message"),
    once(child, "exit"),
  ])) as [unknown];
  if (message !== "ready")
    throw new Error(`the bridge ended with ${String(message)}`);
  return child;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const settings = JSON.parse(process.argv[2] ?? "") as RealBridgeSettings;
  const running = await startRealBridge(settings, { emit: () => undefined });
  process.once("SIGTERM", () => {
    void running.stop(5000).then(() => process.exit(0));
  });
  process.send?.("ready");
}
