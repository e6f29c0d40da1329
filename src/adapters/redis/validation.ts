/** What `twinstream validate` asks of Redis: updates as dashboards hear them, and the end of what a run has left there. */
import {
  historyKey,
  lastStateKey,
  onlineKey,
  updatesChannel,
} from "../../domain/names.js";
import { connect } from "./connect.js";

export interface ValidationView {
  /** Calls back with each full message that a subscriber of the device's updates hears. Resolves once subscribed. */
  listen(address: string, heard: (message: string) => void): Promise<void>;
  /** Removes what the view has of a tenant's devices. */
  forget(
    tenant: string,
    devices: readonly { readonly deviceId: string; readonly address: string }[],
  ): Promise<void>;
  close(): Promise<void>;
}

const SILENCE_MS = 5000;

export function createValidationView(url: string): ValidationView {
  const options = { url, name: "twinstream-validate", silenceMs: SILENCE_MS };
  const link = connect(options);
  // A connection that listens can do nothing else.
  const ear = connect(options);
  return {
    listen: (address, heard) =>
      ear.run(async (redis) => {
        const channel = updatesChannel(address);
        redis.on("message", (from: string, message: string) => {
          if (from === channel) heard(message);
        });
        await redis.subscribe(channel);
      }),
    forget: (tenant, devices) =>
      link.run(async (redis) => {
        if (devices.length === 0) return;
        await redis.del(
          devices.flatMap(({ address }) => [
            lastStateKey(address),
            historyKey(address),
          ]),
        );
        await redis.zrem(
          onlineKey(tenant),
          ...devices.map(({ deviceId }) => deviceId),
        );
      }),
    async close() {
      await Promise.all([link.close(), ear.close()]);
    },
  };
}
