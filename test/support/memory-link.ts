/** In-memory double of the way to the MQTT broker for commands: what was sent, and answers as the test wants them. */
import type { CommandRequest } from "../../src/domain/message.js";
import type { CommandLink, Delivery } from "../../src/ports.js";
import { TwinstreamError } from "../../src/errors.js";

export interface Sent {
  readonly address: string;
  readonly request: CommandRequest;
}

type Answer = Delivery | "breaks" | "silence";

export interface MemoryLink {
  readonly link: CommandLink;
  /** Every publish, oldest first, whatever the broker answered. */
  readonly sent: readonly Sent[];
  /** Ids of the commands published, oldest first. */
  ids(): string[];
  /** Whether there is a connection to the broker. */
  setConnected(connected: boolean): void;
  /** How the broker answers from now on; `breaks` is a connection that ends before its answer, `silence` no answer at all. */
  answer(how: Answer): void;
  /** Called with each publish before the broker answers it. */
  onSend(listener: (sent: Sent) => void): void;
}

export function createMemoryLink(): MemoryLink {
  const sent: Sent[] = [];
  const listeners: ((sent: Sent) => void)[] = [];
  let connected = true;
  let how: Answer = "delivered";
  return {
    sent,
    ids: () => sent.map(({ request }) => request.cmdId),
    setConnected(now) {
      connected = now;
    },
    answer(next) {
      how = next;
    },
    onSend: (listener) => void listeners.push(listener),
    link: {
      async send(device, request) {
        const one = { address: device.address, request };
        sent.push(one);
        for (const listener of listeners) listener(one);
        if (how === "breaks")
          throw new TwinstreamError("BROKER_UNREACHABLE", "told to break");
        if (how === "silence") return new Promise(() => undefined);
        return how;
      },
      connected: () => connected,
      close: async () => undefined,
    },
  };
}
