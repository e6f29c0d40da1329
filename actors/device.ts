/**
 * The device actor: a thin shell that holds the state and hands over effects. What a message does is decided by the pure
 * reducer; what a crash does is decided here, by the table in `supervision.ts`.
 */
import type { ApplyMessages } from "../src/domain/decide.js";
import type { DeviceState, Effects } from "../src/domain/device.js";
import { effectsWith, joinEffects } from "../src/domain/effects.js";
import { deadLetterOf } from "../src/domain/message-letter.js";
import type { Message } from "../src/domain/message.js";
import { isReplay } from "../src/domain/replay.js";
import { reasonOf } from "../src/errors.js";
import type { Observer } from "../src/ports.js";
import { SUPERVISION } from "./supervision.js";

/** All that a batch holds for one device, and where the answer goes. */
export interface DeviceBatch {
  readonly messages: readonly Message[];
  readonly nowMs: number;
  readonly settle: (effects: Effects) => void;
  readonly fail: (error: unknown) => void;
}

export interface DeviceShell {
  readonly state: DeviceState;
  /** When it crashed within the last minute, Unix milliseconds. */
  readonly crashesMs: readonly number[];
}

export interface DeviceBehaviour {
  readonly applyMessages: ApplyMessages;
  readonly tenantPrefix: string;
  readonly partition: number;
  readonly observer: Observer;
}

/** Handles one batch: as a whole; after a crash message by message; in quarantine not at all. */
export function handleBatch(
  behaviour: DeviceBehaviour,
  shell: DeviceShell,
  batch: DeviceBatch,
): DeviceShell {
  if (shell.state.quarantinedUntilMs <= batch.nowMs) {
    try {
      const { state, effects } = behaviour.applyMessages(
        shell.state,
        batch.messages,
        batch.nowMs,
      );
      batch.settle(effects);
      return { state, crashesMs: shell.crashesMs };
    } catch {
      // The restart: the state before this batch still stands, since states are values. The cause is reported below, with
      // the message that it belongs to.
    }
  }
  return oneByOne(behaviour, shell, batch);
}

function oneByOne(
  behaviour: DeviceBehaviour,
  shell: DeviceShell,
  { messages, nowMs, settle }: DeviceBatch,
): DeviceShell {
  const { observer, partition, tenantPrefix } = behaviour;
  const { device } = shell.state;
  const parts: Effects[] = [];
  let { state } = shell;
  let crashesMs = shell.crashesMs.filter(
    (at) => at > nowMs - SUPERVISION.crashWindowMs,
  );
  let poison = 0;
  let lastError = "";
  for (const message of messages) {
    if (state.quarantinedUntilMs > nowMs && message.kind !== "release") {
      const until = new Date(state.quarantinedUntilMs).toISOString();
      parts.push(
        effectsWith(device, {
          deadLetters: [
            deadLetterOf(message, tenantPrefix, {
              reason: "quarantined",
              detail: `the device's actor crashed ${SUPERVISION.crashesToQuarantine} times in a minute; its messages are set aside until ${until} or its release`,
              item: -1,
              attempts: 0,
            }),
          ],
        }),
      );
      continue;
    }
    try {
      const applied = behaviour.applyMessages(state, [message], nowMs);
      state = applied.state;
      parts.push(applied.effects);
    } catch (error) {
      poison++;
      lastError = reasonOf(error);
      parts.push(
        effectsWith(device, {
          deadLetters: [
            deadLetterOf(message, tenantPrefix, {
              reason: "actor_crash",
              detail: lastError,
              item: -1,
              attempts: SUPERVISION.attempts,
            }),
          ],
        }),
      );
      // Whoever replays what still crashes has not made the device any worse.
      if (isReplay(message.source)) continue;
      crashesMs = [...crashesMs, nowMs];
      if (crashesMs.length >= SUPERVISION.crashesToQuarantine) {
        const quarantinedUntilMs = nowMs + SUPERVISION.quarantineMs;
        state = { ...state, quarantinedUntilMs };
        parts.push(effectsWith(device, { quarantinedUntilMs }));
        crashesMs = [];
        observer.emit({
          type: "actor_quarantined",
          partition,
          address: device.address,
          untilMs: quarantinedUntilMs,
        });
      }
    }
  }
  if (poison > 0)
    observer.emit({
      type: "actor_restarted",
      partition,
      address: device.address,
      error: lastError,
      poison,
    });
  settle(joinEffects(device, parts));
  return { state, crashesMs };
}
