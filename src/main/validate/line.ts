/** An MQTT connection that speaks for the devices of a run: publishes, and hears their commands. */
import {
  createDeviceClient,
  type Outgoing,
} from "../../adapters/mqtt/device-client.js";
import { NotSo } from "./wait.js";

export interface Line {
  /**
   * Resolves with the broker's PUBACK.
   * @throws NotSo when the broker refuses it
   */
  publish(topic: string, payload: string): Promise<void>;
  /** Everything heard on the line's filters, oldest first. */
  readonly heard: readonly Record<string, unknown>[];
  close(): Promise<void>;
}

interface Message extends Outgoing {
  readonly settle: (reason: number) => void;
}

/** Below the least receive maximum that needs looking at; the broker's own bound holds besides. */
const IN_FLIGHT = 1000;
const REFUSED_FROM = 0x80;

/** @throws TwinstreamError BROKER_UNREACHABLE, CONFIG_INVALID */
export async function openLine(settings: {
  readonly url: string;
  readonly clientId: string;
  readonly filters: readonly string[];
}): Promise<Line> {
  const waiting: Message[] = [];
  const heard: Record<string, unknown>[] = [];
  const client = createDeviceClient<Message>(
    {
      ...settings,
      qos: 1,
      inFlight: IN_FLIGHT,
      now: () => performance.now(),
    },
    {
      answered: (message, reason) => message.settle(reason),
      // It is sent again once there is a connection; the check's time limit counts.
      unanswered: () => undefined,
      writable: pump,
      received: (_topic, payload) => {
        heard.push(JSON.parse(payload.toString()) as Record<string, unknown>);
      },
      connection: () => undefined,
    },
  );

  function pump(): void {
    for (let room = client.room(); room > 0 && waiting.length > 0; room -= 1)
      client.publish(waiting.shift()!);
    client.flush();
  }

  await client.start(false);
  return {
    heard,
    publish(topic, payload) {
      return new Promise((resolve, reject) => {
        waiting.push({
          topic: Buffer.from(topic),
          payload: Buffer.from(payload),
          attempt: 0,
          sentMs: 0,
          settle: (reason) =>
            reason < REFUSED_FROM
              ? resolve()
              : reject(
                  new NotSo(
                    `the broker refuses ${topic} (reason ${reason}); name a user who may publish there, with --mqtt`,
                  ),
                ),
        });
        pump();
      });
    },
    close: () => client.close(),
  };
}
