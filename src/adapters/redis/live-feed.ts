/**
 * What is published while it happens, over one subscriber connection a process.
 *
 * A device that somebody watches is a SUBSCRIBE: Redis looks the channel up and sends what is watched, nothing else. All
 * devices of a tenant are a PSUBSCRIBE: with a SUBSCRIBE each, 100,000 devices would have to be listed, and new ones noticed.
 * But each PUBLISH is compared with every pattern that anybody has (some 40 ns each), so beyond a few tenants one pattern for
 * all devices takes their place, and what nobody here watches is dropped by its channel's name, unread.
 */
import type { Redis } from "ioredis";
import {
  DEFAULT_TENANT,
  PRESENCE_CHANNEL,
  updatesChannel,
} from "../../domain/names.js";
import type { Clock, LiveFeed, LiveListener } from "../../ports.js";
import { connect } from "./connect.js";

/** A connection that does not answer its PING for so long is dead, and replaced. */
const SILENCE_MS = 2_000;
const PING_MS = 2_000;
/** Patterns of tenants that a process has at most. */
const MOST_PATTERNS = 16;
/** Channels of one command: Redis works it off in one go. */
const CHANNELS_A_COMMAND = 1_000;

const CHANNEL_PREFIX = updatesChannel("");
/** Addresses of the tenant `default` have no slash, which a pattern cannot say: theirs is the pattern of all. */
const EVERY_DEVICE = updatesChannel("*");
const patternOf = (tenant: string): string => updatesChannel(`${tenant}/*`);

/** Returns at once and connects in the background. */
export function createLiveFeed(options: {
  readonly url: string;
  readonly clock: Clock;
  readonly pingMs?: number;
}): LiveFeed {
  const { clock } = options;
  const link = connect({
    url: options.url,
    name: "twinstream-live",
    silenceMs: SILENCE_MS,
  });
  const devices = new Set<string>();
  /** The pattern through which each watched tenant is heard. */
  const tenants = new Map<string, string>();
  let listener: LiveListener | null = null;
  /** The connection was alive then, milliseconds. */
  let heardMs = clock();
  let broken = false;
  let attached = false;

  function attach(redis: Redis): void {
    if (attached) return;
    attached = true;
    redis.on("messageBuffer", (channel: Buffer, message: Buffer) => {
      const name = channel.toString();
      if (name === PRESENCE_CHANNEL) return listener?.presence(message);
      const address = name.slice(CHANNEL_PREFIX.length);
      if (devices.has(address)) listener?.update(address, message, "device");
    });
    redis.on(
      "pmessageBuffer",
      (pattern: string | Buffer, channel: Buffer, message: Buffer) => {
        const address = channel.toString().slice(CHANNEL_PREFIX.length);
        const slash = address.indexOf("/");
        const tenant = slash === -1 ? DEFAULT_TENANT : address.slice(0, slash);
        // A tenant may be covered by two patterns; it is heard through one.
        if (tenants.get(tenant) === pattern.toString())
          listener?.update(address, message, "tenant");
      },
    );
    redis.on("close", () => {
      broken = true;
    });
  }

  const run = <T>(work: (redis: Redis) => Promise<T>): Promise<T> =>
    link.run((redis) => {
      attach(redis);
      return work(redis);
    });

  async function subscribe(
    redis: Redis,
    channels: readonly string[],
  ): Promise<void> {
    const parts: Promise<unknown>[] = [];
    for (let i = 0; i < channels.length; i += CHANNELS_A_COMMAND)
      parts.push(redis.subscribe(...channels.slice(i, i + CHANNELS_A_COMMAND)));
    await Promise.all(parts);
  }

  async function subscribeAgain(): Promise<void> {
    await run(async (redis) => {
      await subscribe(redis, [
        PRESENCE_CHANNEL,
        ...[...devices].map(updatesChannel),
      ]);
      const patterns = new Set(tenants.values());
      if (patterns.size > 0) await redis.psubscribe(...patterns);
    });
    const fromMs = heardMs;
    heardMs = clock();
    broken = false;
    if (devices.size > 0 || tenants.size > 0) listener?.gap(fromMs, heardMs);
  }
  // Another break before all are there begins this anew.
  link.onReconnect(() => void subscribeAgain().catch(() => undefined));

  const pinging = setInterval(() => {
    const atMs = clock();
    run((redis) => redis.ping()).then(
      () => {
        if (!broken) heardMs = atMs;
      },
      () => undefined,
    );
  }, options.pingMs ?? PING_MS);

  /** Nobody waits for it: what comes in the meantime is dropped, and a connection that breaks has no subscriptions. */
  function forget(work: (redis: Redis) => Promise<unknown>): void {
    run(work).catch(() => undefined);
  }

  return {
    listen(given) {
      listener = given;
    },
    async watchDevices(addresses) {
      for (const address of addresses) devices.add(address);
      try {
        await run((redis) =>
          subscribe(redis, [
            PRESENCE_CHANNEL,
            ...addresses.map(updatesChannel),
          ]),
        );
      } catch (error) {
        for (const address of addresses) devices.delete(address);
        throw error;
      }
    },
    unwatchDevices(addresses) {
      for (const address of addresses) devices.delete(address);
      if (addresses.length > 0)
        forget((redis) => redis.unsubscribe(...addresses.map(updatesChannel)));
    },
    async watchTenant(tenant) {
      const own = new Set(tenants.values());
      const pattern =
        tenant === DEFAULT_TENANT || own.size >= MOST_PATTERNS
          ? EVERY_DEVICE
          : patternOf(tenant);
      tenants.set(tenant, pattern);
      try {
        await run(async (redis) => {
          await redis.subscribe(PRESENCE_CHANNEL);
          await redis.psubscribe(pattern);
        });
      } catch (error) {
        tenants.delete(tenant);
        throw error;
      }
    },
    unwatchTenant(tenant) {
      const pattern = tenants.get(tenant);
      tenants.delete(tenant);
      if (pattern === undefined) return;
      const others = new Set(tenants.values());
      if (!others.has(pattern)) forget((redis) => redis.punsubscribe(pattern));
    },
    // The answer comes down the same connection, behind what was published.
    settled: () => run(async (redis) => void (await redis.ping())),
    async close() {
      clearInterval(pinging);
      await link.close();
    },
  };
}
