/** What the gateway asks of Redis and of the database, each with connections of its own. */
import { createDeviceViewReader } from "../adapters/redis/device-view-reader.js";
import { createLiveFeed } from "../adapters/redis/live-feed.js";
import { createRateCounter } from "../adapters/redis/rate-limit.js";
import { createTickets } from "../adapters/redis/tickets.js";
import { createAccounts } from "../adapters/timescale/accounts.js";
import { createAdapterDesk } from "../adapters/timescale/adapter-desk.js";
import { createAnalyticsReader } from "../adapters/timescale/analytics-reader.js";
import { createCommandKeys } from "../adapters/timescale/command-keys.js";
import { createDeviceRecords } from "../adapters/timescale/device-records.js";
import { createExplainReader } from "../adapters/timescale/explain-reader.js";
import { createFleetReader } from "../adapters/timescale/fleet-reader.js";
import { createLetterDesk } from "../adapters/timescale/letter-desk.js";
import type { RoleBase } from "./role.js";

/** Database connections for idempotency keys of commands at most; each is held for a statement or two. */
const KEY_CONNECTIONS = 4;
/** Database connections for log-ins and refreshes at most; no more passwords than two are checked at a time. */
const LOGIN_CONNECTIONS = 4;
/** Database connections for devices' adapters at most: people ask for them, not programs. */
const ADAPTER_CONNECTIONS = 2;
/** And for summing up fleets: what one found serves all who look. */
const FLEET_CONNECTIONS = 2;
/** And for what operators ask of the dead letters. */
const LETTER_CONNECTIONS = 2;
/** And for why readings are as they are. */
const EXPLAIN_CONNECTIONS = 2;

/** Closed when the role stops. */
export function openStores(base: RoleBase) {
  const { config } = base;
  const redis = { url: config.REDIS_URL };
  const database = { url: config.DATABASE_URL };
  const reading = { url: config.DATABASE_READ_URL ?? config.DATABASE_URL };
  function closed<T extends { close(): Promise<unknown> }>(
    what: string,
    store: T,
  ): T {
    base.onStop(what, () => store.close());
    return store;
  }
  return {
    view: closed("redis", createDeviceViewReader(redis)),
    records: closed(
      "database",
      createDeviceRecords({
        ...reading,
        name: "gateway",
        poolMin: config.DB_POOL_MIN,
        poolMax: config.DB_POOL_MAX,
      }),
    ),
    commandKeys: closed(
      "command keys",
      createCommandKeys({
        ...database,
        name: "gateway command keys",
        poolMax: KEY_CONNECTIONS,
      }),
    ),
    // Connections of its own: long questions and exports leave those of the device pages alone.
    analytics: closed(
      "analytics",
      createAnalyticsReader({
        ...reading,
        name: "gateway analytics",
        poolMin: 0,
        poolMax: config.DB_POOL_MAX,
      }),
    ),
    explain: closed(
      "explain",
      createExplainReader({
        ...reading,
        name: "gateway explain",
        poolMax: EXPLAIN_CONNECTIONS,
      }),
    ),
    counter: closed("rate limits", createRateCounter(redis)),
    tickets: closed("tickets", createTickets(redis)),
    feed: closed("live feed", createLiveFeed({ ...redis, clock: Date.now })),
    accounts: closed(
      "accounts",
      createAccounts({
        ...database,
        name: "gateway log-in",
        poolMax: LOGIN_CONNECTIONS,
      }),
    ),
    adapters: closed(
      "adapters",
      createAdapterDesk({
        ...database,
        name: "gateway adapters",
        role: "twinstream_gateway",
        poolMax: ADAPTER_CONNECTIONS,
      }),
    ),
    letters: closed(
      "dead letters",
      createLetterDesk({
        ...database,
        name: "gateway dead letters",
        role: "twinstream_gateway",
        poolMax: LETTER_CONNECTIONS,
      }),
    ),
    fleet: closed(
      "fleet",
      createFleetReader({
        ...reading,
        name: "gateway fleet",
        poolMax: FLEET_CONNECTIONS,
      }),
    ),
  };
}
