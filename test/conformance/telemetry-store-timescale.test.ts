import { whyNoTimescale } from "../support/database.js";
import { telemetryStoreConformance } from "./telemetry-store.js";
import { onDatabase } from "./telemetry-store-on-database.js";

telemetryStoreConformance(
  "TimescaleDB",
  onDatabase("auto"),
  await whyNoTimescale(),
);
