/** What PostgreSQL and its connections throw, in the program's own terms. */
import { reasonOf, TwinstreamError } from "../../errors.js";
import { adviceOn, explained } from "../tls/trouble.js";
import { SETTINGS } from "./secure.js";

interface ServerError extends Error {
  /** SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html */
  readonly code: string;
  readonly severity: string;
}

/** The SQLSTATE of an error that the server sent, else null. */
export function sqlState(error: unknown): string | null {
  return isServerError(error) ? error.code : null;
}

function isServerError(error: unknown): error is ServerError {
  return (
    error instanceof Error &&
    typeof (error as Partial<ServerError>).severity === "string" &&
    /^[0-9A-Z]{5}$/.test((error as Partial<ServerError>).code ?? "")
  );
}

/** A row that the database refuses for what it contains: data exceptions and constraints other than the unique key. */
export function isRefusedData(error: unknown): boolean {
  const state = sqlState(error);
  return state !== null && /^2[23]/.test(state) && state !== UNIQUE_VIOLATION;
}

export const UNIQUE_VIOLATION = "23505";
/** TimescaleDB: too many rows of a columnstore chunk would have to be decompressed to look for duplicates. */
export const DECOMPRESSION_LIMIT = "53400";

/** Roles, schema, tables, columns or functions that a migrated database has. */
const NOT_MIGRATED = new Set(["42P01", "42703", "42883", "3F000", "42704"]);

/**
 * Trying again may help: connection trouble (08), a log-in that is refused until somebody mends it (28), resources (53, but not the limit that our own rows run into), operator
 * intervention and time limits (57), system errors such as a full disk (58), deadlocks and serialization (40), lock time
 * limits (55P03), a server that has become a replica (25006).
 */
const PASSING = /^(08|28|53(?!400)|57|58|40)|^(55P03|25006)$/;

/** `detail` of everything thrown names the statement's purpose, `doing`. */
export function translate(error: unknown, doing: string): unknown {
  if (error instanceof TwinstreamError) return error;
  const detail = `${doing}: ${explained(reasonOf(error), SETTINGS)}`;
  if (isServerError(error)) {
    // Two sessions at one catalogue row; PostgreSQL files it under internal errors.
    const raced = error.code === "XX000" && /concurrently/.test(error.message);
    if (raced || PASSING.test(error.code))
      return new TwinstreamError("STORE_UNREACHABLE", detail, { cause: error });
    if (NOT_MIGRATED.has(error.code) || isMissingRole(error))
      return new TwinstreamError(
        "STORE_NOT_MIGRATED",
        `${detail}; run: twinstream migrate`,
        { cause: error },
      );
    return new TwinstreamError("STORE_REFUSED", detail, { cause: error });
  }
  if (isConnectionError(error))
    return new TwinstreamError("STORE_UNREACHABLE", detail, { cause: error });
  return error;
}

function isMissingRole(error: ServerError): boolean {
  return error.code === "22023" && /role .* does not exist/.test(error.message);
}

/** pg throws plain errors for a lost or slow connection; they are known by their words only. */
function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ("syscall" in error || "errno" in error) return true;
  if (adviceOn(error.message, SETTINGS) !== null) return true;
  if (error instanceof AggregateError)
    return error.errors.some(isConnectionError);
  return /connection|socket|timeout|not queryable|client was closed/i.test(
    error.message,
  );
}
