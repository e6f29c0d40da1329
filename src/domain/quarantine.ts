/** The record that ends a device's quarantine, in its lane: its actor decides, like everything of a device. */
import { address } from "./names.js";

export const releaseRecord = (asked: {
  readonly tenant: string;
  readonly deviceId: string;
  readonly by: string;
  /** Unix milliseconds. */
  readonly atMs: number;
}): { key: string; value: Buffer } => ({
  key: address(asked.tenant, asked.deviceId),
  value: Buffer.from(
    JSON.stringify({
      kind: "release",
      tenant: asked.tenant,
      device_id: asked.deviceId,
      by: asked.by,
      ts: new Date(asked.atMs).toISOString(),
    }),
  ),
});
