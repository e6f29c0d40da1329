import { telemetryStoreConformance } from "./telemetry-store.js";
import { onDatabase } from "./telemetry-store-on-database.js";

telemetryStoreConformance("plain PostgreSQL", onDatabase("never"));
