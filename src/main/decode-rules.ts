/** What decoding goes by, from the settings; the same for the processor and for the gateway's dry run. */
import type { Config } from "../config.js";
import type { DecodeRules } from "../domain/decode.js";

const HOUR_US = 3_600_000_000;

/** @param partitions of `iot-data` */
export const decodeRules = (
  config: Config,
  partitions: number,
): Omit<DecodeRules, "tenants"> => ({
  futureUs: config.FUTURE_LIMIT_HOURS * HOUR_US,
  earliestUs: config.earliestUs,
  retentionUs:
    config.RAW_RETENTION_DAYS === 0
      ? null
      : config.RAW_RETENTION_DAYS * 24 * HOUR_US,
  tenantPrefix: config.MQTT_TENANT_PREFIX,
  partitions,
});
