/** Tickets of live streams, in Redis for all gateway processes together. Only their hashes are there. */
import type { TicketHolder, TicketStore } from "../../ports.js";
import { connect } from "./connect.js";

const PREFIX = "twinstream:ticket:";
/** A person waits for the answer. */
const SILENCE_MS = 1_000;

export interface RedisTickets extends TicketStore {
  close(): Promise<void>;
}

/** Starts to connect and returns at once. */
export function createTickets(options: { readonly url: string }): RedisTickets {
  const link = connect({
    ...options,
    name: "twinstream tickets",
    silenceMs: SILENCE_MS,
  });
  const keyOf = (hash: Buffer): string => PREFIX + hash.toString("base64url");
  return {
    put: (hash, holder, lifeMs) =>
      link.run(async (redis) => {
        await redis.set(keyOf(hash), JSON.stringify(holder), "PX", lifeMs);
      }),
    take: (hash) =>
      link.run(async (redis) => {
        const text = await redis.getdel(keyOf(hash));
        // Written by `put` alone.
        return text === null ? null : (JSON.parse(text) as TicketHolder);
      }),
    close: () => link.close(),
  };
}
