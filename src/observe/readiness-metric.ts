/** `/ready` as a gauge, so that an alert can be made of it. */
import { Gauge, type Registry } from "prom-client";
import type { Readiness } from "./readiness.js";

/** Once a registry. Parts are the names of roles. */
export function exposeReadiness(
  registry: Registry,
  readiness: Readiness,
): void {
  new Gauge({
    name: "ready",
    help: "1 while a role of this process can do its work; /ready says why not",
    labelNames: ["part"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { part, ok } of readiness.state().parts)
        this.set({ part }, ok ? 1 : 0);
    },
  });
}
