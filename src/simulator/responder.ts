/** What simulated devices answer to commands (contracts, 1.3 and 1.4). No clock of its own. */
import { seededRandom } from "./random.js";

export interface Answer {
  /** The ack is to be sent this many milliseconds from now. */
  readonly delayMs: number;
  readonly ack: Buffer;
  /** The command was here before: it is acknowledged again, with the same ack, and not executed again. */
  readonly repeated: boolean;
}

/** A device takes so long to execute a command. */
const DELAY_MS = { least: 5, spread: 45 };
/** Commands remembered over the fleet; of older ones a redelivery would be executed again. */
const REMEMBERED = 100_000;

export interface Responder {
  /** Null for what is no command: there is no id to acknowledge. */
  answer(device: string, payload: Buffer, nowMs: number): Answer | null;
}

/** Every operation succeeds but `fail`. The delay hangs on seed, device and command alone. */
export function createResponder(seed: number): Responder {
  const executed = new Map<string, Buffer>();
  return {
    answer(device, payload, nowMs) {
      const command = readCommand(payload);
      if (command === null) return null;
      const key = `${device} ${command.cmdId}`;
      const random = seededRandom(seed, "command", key);
      const delayMs = DELAY_MS.least + Math.floor(random() * DELAY_MS.spread);
      const earlier = executed.get(key);
      if (earlier !== undefined)
        return { delayMs, ack: earlier, repeated: true };
      const ok = command.op !== "fail";
      const ack = Buffer.from(
        JSON.stringify({
          schema: "v1",
          cmd_id: command.cmdId,
          ok,
          ts_exec: new Date(nowMs + delayMs).toISOString(),
          err: ok ? null : "the device was told to fail",
        }),
      );
      executed.set(key, ack);
      if (executed.size > REMEMBERED)
        for (const [oldest] of executed) {
          executed.delete(oldest);
          break;
        }
      return { delayMs, ack, repeated: false };
    },
  };
}

function readCommand(
  payload: Buffer,
): { readonly cmdId: string; readonly op: unknown } | null {
  let command: unknown;
  try {
    command = JSON.parse(payload.toString());
  } catch {
    return null;
  }
  if (typeof command !== "object" || command === null) return null;
  const { cmd_id: cmdId, op } = command as Record<string, unknown>;
  return typeof cmdId === "string" && cmdId !== "" ? { cmdId, op } : null;
}
