/**
 * The database's connections: settings in one place. Above this file nothing sees a client of the driver; a `Session` is one
 * connection for the length of one piece of work, and every statement on it has a deadline of its own, since neither
 * `statement_timeout` nor a cancel reaches a backend whose client stalls in the middle of a COPY (tried on 15.20).
 */
import type { Socket } from "node:net";
import pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { reasonOf, TwinstreamError } from "../../errors.js";
import { translate } from "./database-errors.js";
import { addressed } from "./secure.js";

export interface DatabaseOptions {
  readonly url: string;
  /** Who we are, in pg_stat_activity: `twinstream <name>`. */
  readonly name: string;
  /** The role that statements run as; null leaves the one that logged in. */
  readonly role:
    "twinstream_writer" | "twinstream_reader" | "twinstream_gateway" | null;
  readonly poolMin: number;
  readonly poolMax: number;
  /** How long one statement or COPY may take before its backend is ended, milliseconds. */
  readonly deadlineMs?: number;
}

/** Prefix of `application_name` by which backends of ours are known. */
const APPLICATION = "twinstream";
const DEADLINE_MS = 60_000;
const CONNECT_MS = 10_000;

/** One connection, for as long as one piece of work takes. */
export interface Session {
  /** Process id of its backend. */
  readonly pid: number;
  rows<T>(statement: string, values?: readonly unknown[]): Promise<T[]>;
  /** Answers how many rows were affected. */
  run(statement: string, values?: readonly unknown[]): Promise<number>;
  /**
   * Statements without parameters in one round trip, which under load takes longer than most statements do; values go in
   * as `literal`s. Answers the rows of the last one.
   */
  script<T>(statements: readonly string[]): Promise<T[]>;
  /** COPY … FROM STDIN of one buffer, which must not change until this settles; other statements may stand around it. */
  copy(statement: string, data: Buffer): Promise<void>;
}

export interface Database {
  /** Whatever `work` throws costs the connection: nobody can tell in which state it was left. */
  use<T>(doing: string, work: (session: Session) => Promise<T>): Promise<T>;
  /** The same between BEGIN and COMMIT. */
  transaction<T>(
    doing: string,
    work: (session: Session) => Promise<T>,
  ): Promise<T>;
  /** The same, seeing this tenant's rows alone. */
  asTenant<T>(
    tenant: string,
    doing: string,
    work: (session: Session) => Promise<T>,
  ): Promise<T>;
  /** Ends the backends that this one waits for, as far as they are ours; answers their process ids. */
  endBlockersOf(pid: number): Promise<number[]>;
  close(): Promise<void>;
}

/**
 * Connects lazily. Every error is a TwinstreamError of the database's kind.
 * @throws TwinstreamError CONFIG_INVALID at once, when a certificate's file cannot be used
 */
export function connectDatabase(options: DatabaseOptions): Database {
  const deadlineMs = options.deadlineMs ?? DEADLINE_MS;
  const pool = openPool(options, options.poolMin, options.poolMax);
  /** Ends backends, as the role that logged in: a role may only end backends of a role it belongs to. */
  const control = openPool(options, 0, 1);
  const prepared = new WeakSet<pg.PoolClient>();
  // A tenant that was set for the session, not for the transaction, does not stay on a connection that others use next.
  const commit =
    options.role === "twinstream_reader"
      ? "COMMIT; RESET app.tenant_id"
      : "COMMIT";

  async function use<T>(
    doing: string,
    work: (session: Session) => Promise<T>,
  ): Promise<T> {
    let client: pg.PoolClient;
    try {
      client = await pool.connect();
    } catch (error) {
      throw translate(error, doing);
    }
    let lost: Error | undefined;
    // A checked-out client that loses its connection emits this; unheard, it would end the process.
    const onError = (error: Error) => {
      lost = error;
    };
    client.on("error", onError);
    try {
      if (!prepared.has(client)) {
        await client.query(sessionSettings(options));
        prepared.add(client);
      }
      const answer = await work(sessionOf(client, doing));
      client.release(lost);
      return answer;
    } catch (error) {
      client.release(error instanceof Error ? error : true);
      throw translate(error, doing);
    } finally {
      client.off("error", onError);
    }
  }

  function sessionOf(client: pg.PoolClient, doing: string): Session {
    const pid = (client as unknown as { processID: number }).processID;
    const watched = <T>(work: Promise<T>) => watch(client, pid, doing, work);
    return {
      pid,
      rows: async <T>(statement: string, values?: readonly unknown[]) =>
        (await watched(client.query(statement, values as unknown[])))
          .rows as T[],
      run: async (statement, values) =>
        (await watched(client.query(statement, values as unknown[])))
          .rowCount ?? 0,
      script: async <T>(statements: readonly string[]) => {
        const answered: unknown = await watched(
          client.query(statements.join(";")),
        );
        const last = Array.isArray(answered) ? answered.at(-1) : answered;
        return (last as pg.QueryResult).rows as T[];
      },
      copy: (statement, data) => watched(sendCopy(client, statement, data)),
    };
  }

  /** Past the deadline the backend is ended from another connection and ours is cut, so that `work` settles. */
  async function watch<T>(
    client: pg.PoolClient,
    pid: number,
    doing: string,
    work: Promise<T>,
  ): Promise<T> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      endBackends("SELECT $1::int AS pid", pid)
        .catch(() => []) // no other connection is to be had either: cutting ours must do
        .finally(() => cut(client));
    }, deadlineMs);
    try {
      return await work;
    } catch (error) {
      if (!late) throw error;
      throw new TwinstreamError(
        "STORE_UNREACHABLE",
        `${doing}: no answer within ${deadlineMs} ms`,
        { cause: error },
      );
    } finally {
      clearTimeout(timer);
    }
  }

  async function endBackends(which: string, pid: number): Promise<number[]> {
    try {
      const { rows } = await control.query<{ pid: number }>(
        // Materialized: as a plain join the planner may end every backend of ours before it looks at `which`.
        `WITH named AS MATERIALIZED (
           SELECT a.pid FROM (${which}) w JOIN pg_stat_activity a ON a.pid = w.pid
           WHERE a.usename = session_user AND a.application_name LIKE '${APPLICATION} %'
         ) SELECT pid FROM named WHERE pg_terminate_backend(pid)`,
        [pid],
      );
      return rows.map((row) => row.pid);
    } catch (error) {
      throw translate(error, "end a backend that holds a lock");
    }
  }

  const transaction: Database["transaction"] = (doing, work) =>
    use(doing, async (session) => {
      await session.run("BEGIN");
      const answer = await work(session);
      await session.run(commit);
      return answer;
    });

  return {
    use,
    transaction,
    asTenant: (tenant, doing, work) =>
      transaction(doing, async (session) => {
        await session.run("SELECT set_config('app.tenant_id', $1, true)", [
          tenant,
        ]);
        return work(session);
      }),
    endBlockersOf: (pid) =>
      endBackends("SELECT unnest(pg_blocking_pids($1)) AS pid", pid),
    close: async () => {
      await Promise.all([pool.end(), control.end()]);
    },
  };
}

function openPool(options: DatabaseOptions, min: number, max: number): pg.Pool {
  const pool = new pg.Pool({
    ...addressed(options.url),
    application_name: `${APPLICATION} ${options.name}`,
    min,
    max,
    connectionTimeoutMillis: CONNECT_MS,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  });
  // An idle client whose connection breaks: the pool has dropped it already, and the next use connects anew or says why not.
  pool.on("error", () => {});
  return pool;
}

/**
 * What every connection starts with. The server notices within 25 s that our machine is gone (and frees our locks), and a
 * transaction that we forgot ends by itself.
 */
function sessionSettings({ name, role }: DatabaseOptions): string {
  return [
    `SET application_name = '${APPLICATION} ${name.replaceAll("'", "''")}'`,
    "SET timezone = 'UTC'",
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
    "SET tcp_user_timeout = 25000",
    "SET lock_timeout = '30s'",
    "SET statement_timeout = '60s'",
    "SET idle_in_transaction_session_timeout = '120s'",
    "SET client_min_messages = warning",
    ...(role === null ? [] : [`SET ROLE ${role}`]),
  ].join(";");
}

/** Success is 'finish', which pg-copy-streams emits once the server is ready for the next statement. */
function sendCopy(
  client: pg.PoolClient,
  statement: string,
  data: Buffer,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = client.query(copyFrom(statement));
    stream.on("error", reject);
    stream.on("finish", resolve);
    stream.end(data);
  });
}

/** pg has no public way to drop a connection without a farewell that a dead peer would never answer. */
function cut(client: pg.PoolClient): void {
  (
    client as unknown as { connection: { stream: Socket } }
  ).connection.stream.destroy();
}

/** A text as part of a statement. */
export const literal = (text: string): string => pg.escapeLiteral(text);

/** Text that PostgreSQL takes: U+0000 is no character there. (Lone surrogates become U+FFFD when written as UTF-8.) */
export function storable(text: string): string {
  return text.includes("\0") ? text.replaceAll("\0", "\uFFFD") : text;
}

export const storableOrNull = (text: string | null | undefined) =>
  text === null || text === undefined ? null : storable(text);

/** Why, for text columns that hold it. */
export function storableReason(error: unknown): string {
  return storable(reasonOf(error));
}
