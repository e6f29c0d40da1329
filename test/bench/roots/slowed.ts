/** The processor with a planted slowness, by which it is tried that the guard fails: some work more for each message. */
import { hash } from "node:crypto";
import type { ApplyMessages } from "../../../src/domain/decide.js";
import { startProcessor } from "../../../src/main/processor.js";
import { runRoles } from "../../../src/main/role.js";

/** A third to a half more CPU for a message. */
const HASHES = 24;

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
