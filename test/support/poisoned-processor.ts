/**
 * The processor with a fault planted in its actors: a message whose payload holds the word CRASHES makes the reducer throw.
 * Started in place of the command line by tests of the supervision.
 */
import { fileURLToPath } from "node:url";
import type { ApplyMessages } from "../../src/domain/decide.js";
import { startProcessor } from "../../src/main/processor.js";
import { runRoles } from "../../src/main/role.js";

/** What to say in a payload to make its actor crash. */
export const CRASHES = "crash-the-actor";
export const CRASH_TEXT = "a planted fault";
export const POISONED_PROCESSOR = fileURLToPath(import.meta.url);

const crashing =
  (own: ApplyMessages): ApplyMessages =>
  (state, messages, nowMs) => {
    for (const message of messages)
      if (message.kind === "data" && message.payload.includes(CRASHES))
        throw new Error(CRASH_TEXT);
    return own(state, messages, nowMs);
  };

if (process.argv[1] === POISONED_PROCESSOR)
  await runRoles([
    {
      name: "processor",
      start: (base) => startProcessor(base, { reducer: crashing }),
    },
  ]);
