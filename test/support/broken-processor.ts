/**
 * The processor with a broken adapter: `parsec_v1` refuses every payload, as after a vendor has changed its firmware. Messages
 * that hold the word CRASHES make their actor crash too. Started in place of the command line.
 */
import { fileURLToPath } from "node:url";
import { parsecV1 } from "../../src/domain/adapters/parsec-v1.js";
import { invalid } from "../../src/domain/fault.js";
import { startProcessor } from "../../src/main/processor.js";
import { runRoles } from "../../src/main/role.js";
import { throwingOn } from "./messages.js";
import { CRASHES } from "./poisoned-processor.js";

export const BROKEN_PROCESSOR = fileURLToPath(import.meta.url);

if (process.argv[1] === BROKEN_PROCESSOR) {
  let messages = 0;
  // The registry holds this very object.
  Object.assign(parsecV1, {
    adapt: () => invalid(`di1: expected 0 or 1, got ${messages++}`),
  });
  await runRoles([
    {
      name: "processor",
      start: (base) =>
        startProcessor(base, { reducer: (own) => throwingOn(CRASHES, own) }),
    },
  ]);
}
