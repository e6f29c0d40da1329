/** The processor with a planted slowness, by which it is tried that the guard fails: some work more for each message. */
import { hash } from "node:crypto";
import type { ApplyMessages } from "../../../src/domain/decide.js";
import { startProcessor } from "../../../src/main/processor.js";
import { runRoles } from "../../../src/main/role.js";

/** About 4 µs of CPU on the reference machine, where a message takes 13. */
const HASHES = 4;

const slowed =
  (own: ApplyMessages): ApplyMessages =>
  (state, messages, nowMs) => {
    for (const message of messages)
      if (message.kind === "data")
        for (let n = 0; n < HASHES; n++) hash("sha256", message.payload);
    return own(state, messages, nowMs);
  };

await runRoles([
  {
    name: "processor",
    start: (base) => startProcessor(base, { reducer: slowed }),
  },
]);
