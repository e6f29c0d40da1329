/** Idempotency keys of commands, as twinstream_gateway, whose policy shows it every tenant's: each statement names its own. */
import { toIso } from "../../domain/time.js";
import { TwinstreamError } from "../../errors.js";
import type { CommandKeys, KeyedCommand, KeyPlace } from "../../ports.js";
import { connectDatabase, type Session } from "./connect.js";
import { microsecondsOf } from "./times.js";

export interface CommandKeysOptions {
  readonly url: string;
  readonly name: string;
  readonly poolMax: number;
}

const COLUMNS = `cmd_id, body_hash, ${microsecondsOf("created_at")} AS created_us`;

/** A key from before $7 is free. */
const TAKE = `
  INSERT INTO command_keys AS k (tenant_id, device_id, idempotency_key, cmd_id, body_hash, created_at)
  VALUES ($1, $2, $3, $4, $5, $6)
  ON CONFLICT (tenant_id, device_id, idempotency_key) DO UPDATE
  SET cmd_id = excluded.cmd_id, body_hash = excluded.body_hash, created_at = excluded.created_at
  WHERE k.created_at < $7
  RETURNING ${COLUMNS.replace("created_at", "k.created_at")}`;

const FIND = `
  SELECT ${COLUMNS} FROM command_keys
  WHERE tenant_id = $1 AND device_id = $2 AND idempotency_key = $3 AND created_at >= $4`;

/** A few at a time, with each that is taken: there are never many more than were taken since. */
const SWEEP = `
  DELETE FROM command_keys WHERE ctid IN (
    SELECT ctid FROM command_keys WHERE created_at < $1 ORDER BY created_at LIMIT 10 FOR UPDATE SKIP LOCKED)`;

interface KeyRow {
  cmd_id: string;
  body_hash: string;
  created_us: string;
}

/** Connects with the first call, not here. */
export function createCommandKeys(options: CommandKeysOptions): CommandKeys {
  const database = connectDatabase({
    ...options,
    poolMin: 0,
    role: "twinstream_gateway",
  });
  return {
    find: (place, sinceMs) =>
      database.use("find an idempotency key", (session) =>
        one(session, FIND, [...namesOf(place), iso(sinceMs)]),
      ),
    take: (place, command, sinceMs) =>
      database.use("take an idempotency key", async (session) => {
        const { cmdId, bodyHash, createdMs } = command;
        await session.run(SWEEP, [iso(sinceMs)]);
        const taken = await one(session, TAKE, [
          ...namesOf(place),
          cmdId,
          bodyHash,
          iso(createdMs),
          iso(sinceMs),
        ]);
        const stands =
          taken ??
          (await one(session, FIND, [...namesOf(place), iso(sinceMs)]));
        if (stands !== null) return stands;
        throw new TwinstreamError(
          "STORE_UNREACHABLE",
          "the key ran out between two looks at it; try again",
        );
      }),
    close: () => database.close(),
  };
}

const namesOf = ({ tenant, deviceId, key }: KeyPlace): string[] => [
  tenant,
  deviceId,
  key,
];

async function one(
  session: Session,
  statement: string,
  values: readonly unknown[],
): Promise<KeyedCommand | null> {
  const [row] = await session.rows<KeyRow>(statement, values);
  return row === undefined
    ? null
    : {
        cmdId: row.cmd_id,
        bodyHash: row.body_hash,
        createdMs: Math.round(Number(row.created_us) / 1000),
      };
}

const iso = (ms: number): string => toIso(ms * 1000);
