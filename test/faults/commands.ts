/**
 * Commands given all the while, with the giver's ledger: each that got its 202 must come to one terminal state, and one key
 * is one command however often it was sent.
 */
import { setTimeout as pause } from "node:timers/promises";
import { fleetIds } from "../../src/simulator/devices.js";
import { hasEnded } from "../../src/domain/command-life.js";
import type { CommandState } from "../../src/ports.js";
import type { Ground } from "./ground.js";
import { startLoad } from "./load.js";
import { type Sender, startSender } from "./sender.js";

const PREFIX = "cmd-";
const DEVICES = 50;
/** Commands a second. */
const RATE = 5;
const TTL_S = 45;
const DEADLINE_MS = 20_000;
const AGAIN_MS = 1000;
const TERMINAL: readonly string[] = [
  "acked",
  "failed",
  "expired",
  "rejected",
  "canceled",
  "superseded",
];

export interface Commands extends Pick<Sender, "stop"> {
  /** Waits until all have ended; answers what is wrong. */
  settle(withinMs: number): Promise<string[]>;
  counts(): Readonly<Record<string, number>>;
}

interface Given {
  readonly key: string;
  readonly device: string;
  readonly cmdIds: Set<string>;
}

export async function startCommands(ground: Ground): Promise<Commands> {
  const fleet = startLoad(
    {
      devices: DEVICES,
      rate: DEVICES,
      seed: ground.knobs.seed,
      prefix: PREFIX,
      answerCommands: true,
      poison: 0,
      duplicates: 0,
      outOfOrder: 0,
    },
    ground.env["MQTT_URL"]!,
  );
  ground.onEnd(() => fleet.stop());
  await fleet.reaches(1);
  const devices = fleetIds(PREFIX, DEVICES);
  const accepted: Given[] = [];
  const refused = new Map<string, number>();
  let states: Readonly<Record<string, number>> = {};

  /** Given until it has its answer: a try without one may have given it, and the same key is the same command. */
  const sender = startSender(ground, 1000 / RATE, (number) => {
    const device = devices[number % DEVICES]!;
    const one: Given = { key: `fault-${number}`, device, cmdIds: new Set() };
    return async (base) => {
      const answer = await post(base, one);
      if (answer === 202) accepted.push(one);
      else if (answer === null || answer >= 500 || answer === 429) return false;
      else refused.set(String(answer), (refused.get(String(answer)) ?? 0) + 1);
      return true;
    };
  });

  async function post(base: string, one: Given): Promise<number | null> {
    try {
      const response = await fetch(`${base}/devices/${one.device}/command`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "idempotency-key": one.key,
        },
        body: JSON.stringify({ op: "set_point", ttl_s: TTL_S, queue: true }),
        signal: AbortSignal.timeout(DEADLINE_MS),
      });
      const body = (await response.json()) as { cmd_id?: string };
      if (response.status === 202) one.cmdIds.add(body.cmd_id ?? "");
      return response.status;
    } catch {
      ground.count("command tries without an answer");
      return null; // It may have been taken: the same key goes again.
    }
  }

  return {
    counts: () => ({
      given: sender.made(),
      accepted: accepted.length,
      ...Object.fromEntries(refused),
      ...states,
    }),
    stop: sender.stop,
    async settle(withinMs) {
      const untilMs = performance.now() + withinMs;
      for (;;) {
        const found = await standing();
        states = found.states;
        const open = Object.entries(found.states).filter(
          ([state]) => !hasEnded(state as CommandState),
        );
        if (open.length === 0 || performance.now() > untilMs) {
          await fleet.stop();
          return found.wrong;
        }
        await pause(AGAIN_MS);
      }
    },
  };

  async function standing() {
    const { rows } = await ground.query<{
      cmd_id: string;
      state: CommandState;
      history: { state: string }[];
    }>(
      "SELECT cmd_id, state, history FROM commands WHERE starts_with(device_id, $1)",
      [PREFIX],
    );
    const byId = new Map(rows.map((row) => [row.cmd_id, row]));
    const found: Record<string, number> = {};
    for (const { state } of rows) found[state] = (found[state] ?? 0) + 1;
    const wrong: string[] = [];
    for (const { key, cmdIds } of accepted) {
      if (cmdIds.size !== 1)
        wrong.push(`command ${key} has ids ${[...cmdIds].join(", ")}`);
      for (const cmdId of cmdIds) {
        const row = byId.get(cmdId);
        if (row === undefined)
          wrong.push(`command ${key} (${cmdId}) was accepted and has no row`);
        else if (!hasEnded(row.state))
          wrong.push(`command ${cmdId} is ${row.state} and never ended`);
        else if (
          row.history.filter(({ state }) => TERMINAL.includes(state)).length !==
          1
        )
          wrong.push(`command ${cmdId} ended more than once`);
      }
    }
    return { states: found, wrong };
  }
}
