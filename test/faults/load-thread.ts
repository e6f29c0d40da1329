/** The thread of a fleet: see load.ts. Of its own, so that a fleet does not keep those waiting who look at what becomes of it. */
import { constants, setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { simulate } from "../../src/simulator/simulate.js";
import type { LoadData, ToMain } from "./load.js";

const { options, ids, mqttUrl, yields } = workerData as LoadData;
const port = parentPort!;
const say = (said: ToMain): void => port.postMessage(said);
const stop = new AbortController();

// Of this thread alone.
if (yields) setPriority(constants.priority.PRIORITY_LOW);
port.on("message", () => stop.abort());
const summary = await simulate(options, {
  mqttUrl,
  ids,
  tenantPrefix: "traksense",
  signal: stop.signal,
  notice: () => undefined,
  progress: (progress) => say({ progress }),
});
say({ summary });
port.close();
