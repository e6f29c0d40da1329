/** The thread of a fleet's network: see link.ts. */
import { constants, setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { openLink } from "../../src/simulator/link.js";
import type { FromLink, ToLink } from "./link.js";

const port = parentPort!;
const say = (said: FromLink): void => port.postMessage(said);

// Of this thread alone.
setPriority(constants.priority.PRIORITY_LOW);
const link = await openLink(workerData as string);
port.on("message", (act: ToLink) => {
  if (act === "cut") say({ cut: link.cut() });
  else link.restore();
});
say({ url: link.url });
