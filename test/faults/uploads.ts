/**
 * Uploads sent all the while, with the sender's ledger: each that got its 202 must be done, with every reading stored once,
 * values included. A try without an answer is sent again under the same key.
 */
import { setTimeout as pause } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import type { Ground } from "./ground.js";
import { type Sender, startSender } from "./sender.js";

const PREFIX = "up-";
const EQUIPMENTS = 10;
const SENSORS = ["temperatura", "vibracao"] as const;
/** Of each sensor in each upload. */
const READINGS = 50;
const EVERY_MS = 1000;
const AGAIN_MS = 1000;
const DEADLINE_MS = 30_000;

export interface Uploads extends Pick<Sender, "stop"> {
  /** Waits until all claims are done; answers what is wrong. */
  settle(withinMs: number): Promise<string[]>;
  counts(): Readonly<Record<string, number>>;
}

interface Accepted {
  readonly number: number;
  readonly claim: string;
}

const valueOf = (equipment: number, sensor: number, index: number): number =>
  equipment * 1000 + sensor * 100 + (index % 97) / 4;

export function startUploads(ground: Ground): Uploads {
  const startMs = Date.now() - 3_600_000;
  const accepted: Accepted[] = [];
  const answers = new Map<string, number>();
  let done = 0;

  /** Each upload has instants of its own. */
  const instantMs = (number: number, index: number): number =>
    startMs + (number * READINGS + index) * 10;

  function bodyOf(number: number): Buffer {
    const equipments = Array.from({ length: EQUIPMENTS }, (_, equipment) => ({
      equip_uuid: `${PREFIX}${equipment}`,
      equip_nome: `Uploader ${equipment}`,
      sensor: SENSORS.flatMap((sensor_tipo, sensor) =>
        Array.from({ length: READINGS }, (_unused, index) => ({
          sensor_uuid: sensor_tipo,
          sensor_tipo,
          valor: valueOf(equipment, sensor, index),
          timestamp: new Date(instantMs(number, index)).toISOString(),
        })),
      ),
    }));
    return gzipSync(JSON.stringify(equipments));
  }

  const sender = startSender(ground, EVERY_MS, (number) => {
    const body = bodyOf(number);
    return async (base) => {
      const claim = await post(base, number, body);
      if (claim !== null) accepted.push({ number, claim });
      return claim !== null;
    };
  });

  async function post(
    base: string,
    number: number,
    body: Buffer,
  ): Promise<string | null> {
    let said = "no answer";
    try {
      const response = await fetch(`${base}/api/v1/telemetry/bulk`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "content-encoding": "gzip",
          "idempotency-key": `fault-${ground.knobs.seed}-${number}`,
        },
        body,
        signal: AbortSignal.timeout(DEADLINE_MS),
      });
      const { claim_id } = (await response.json()) as { claim_id?: string };
      said = String(response.status);
      if (response.status === 503 && response.headers.has("retry-after"))
        said = "503 with Retry-After";
      return response.status === 202 ? (claim_id ?? null) : null;
    } catch {
      return null; // It may have been taken: the same key goes again.
    } finally {
      answers.set(said, (answers.get(said) ?? 0) + 1);
    }
  }

  return {
    counts: () => ({
      made: sender.made(),
      accepted: accepted.length,
      done,
      ...Object.fromEntries(answers),
    }),
    stop: sender.stop,
    async settle(withinMs) {
      const untilMs = performance.now() + withinMs;
      for (;;) {
        const wrong = await unfinished();
        if (wrong.length === 0) return contents();
        if (performance.now() > untilMs) return wrong;
        await pause(AGAIN_MS);
      }
    },
  };

  async function unfinished(): Promise<string[]> {
    const { rows } = await ground.query<{
      claim_id: string;
      state: string;
      ok: string;
      failed: string;
    }>(
      `SELECT claim_id, state, readings_stored + readings_duplicate AS ok, readings_failed AS failed
       FROM claims WHERE claim_id = ANY ($1)`,
      [accepted.map(({ claim }) => claim)],
    );
    const byId = new Map(rows.map((row) => [row.claim_id, row]));
    const expected = EQUIPMENTS * SENSORS.length * READINGS;
    const wrong: string[] = [];
    done = 0;
    for (const { claim } of accepted) {
      const row = byId.get(claim);
      if (row === undefined) wrong.push(`claim ${claim} has no row`);
      else if (row.state !== "done") wrong.push(`claim ${claim}: ${row.state}`);
      else if (Number(row.ok) !== expected || Number(row.failed) !== 0)
        wrong.push(`claim ${claim}: ${row.ok} of ${expected} readings`);
      else done += 1;
    }
    return wrong;
  }

  /** Every reading of an accepted upload is one row with its value, and there is no row of none. */
  async function contents(): Promise<string[]> {
    const { rows } = await ground.query<{
      device: string;
      sensor: string;
      ms: string;
      value: number;
    }>(
      `SELECT device_id AS device, point_id AS sensor, (extract(epoch FROM ts) * 1000)::bigint AS ms, v_num AS value
       FROM ts_measure WHERE starts_with(device_id, $1)`,
      [PREFIX],
    );
    const stored = new Map<string, number>();
    const wrong: string[] = [];
    for (const { device, sensor, ms, value } of rows) {
      const at = `${device} ${sensor} ${ms}`;
      if (stored.has(at)) wrong.push(`uploaded reading doubled: ${at}`);
      stored.set(at, value);
    }
    for (const { number } of accepted)
      for (let equipment = 0; equipment < EQUIPMENTS; equipment++)
        for (const [sensor, name] of SENSORS.entries())
          for (let index = 0; index < READINGS; index++) {
            const at = `${PREFIX}${equipment} ${name} ${instantMs(number, index)}`;
            const value = stored.get(at);
            if (value === undefined)
              wrong.push(`uploaded reading missing: ${at}`);
            else if (value !== valueOf(equipment, sensor, index))
              wrong.push(`uploaded reading ${at} is ${value}`);
            stored.delete(at);
          }
    // An upload that was never answered may have been taken; one that is stored must be whole.
    const whole = EQUIPMENTS * SENSORS.length * READINGS;
    if (stored.size % whole !== 0)
      wrong.push(`${stored.size} rows of uploads that were not accepted`);
    return wrong;
  }
}
