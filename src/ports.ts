/**
 * What the pipeline asks of the outside, in the domain's verbs. No connection, client or transaction type shows here;
 * each port has one adapter (and an in-memory double in the tests that passes the same conformance suite).
 *
 * Errors: adapters throw `TwinstreamError`; `canRetry` says whether the same call may succeed later.
 */
export type * from "./ports/accounts.js";
export type * from "./ports/actors.js";
export type * from "./ports/adapters.js";
export type * from "./ports/analytics.js";
export type * from "./ports/clock.js";
export type * from "./ports/credentials.js";
export type * from "./ports/explain.js";
export type * from "./ports/fleet.js";
export type * from "./ports/ledger.js";
export type * from "./ports/dead-letters.js";
export type * from "./ports/live.js";
export type * from "./ports/log.js";
export type * from "./ports/mqtt.js";
export type * from "./ports/standing.js";
export type * from "./ports/store.js";
export type * from "./ports/telemetry.js";
export type * from "./ports/tracing.js";
export type * from "./ports/uploads.js";
export type * from "./ports/view.js";
