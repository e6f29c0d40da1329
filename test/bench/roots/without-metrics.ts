/** The processor that says nothing: no metric is counted and no line written for what happens. */
import { startProcessor } from "../../../src/main/processor.js";
import { runRoles } from "../../../src/main/role.js";

await runRoles([
  {
    name: "processor",
    start: (base) =>
      startProcessor({ ...base, observer: { emit: () => undefined } }),
  },
]);
