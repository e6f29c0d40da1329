/** Making many connections to one broker. */
import { TwinstreamError } from "../errors.js";

export interface Connecting {
  /** Resolves once connected; with `insist` it goes on trying, else the first failure is the end. */
  start(insist: boolean): Promise<void>;
}

/** Connections made at a time. */
const AT_ONCE = 50;
const DEADLINE_SECONDS = 60;

/**
 * The first alone, so that a broker that is not there is said at once; the others then insist. Resolves early, with what
 * there is, when the signal comes.
 * @throws TwinstreamError BROKER_UNREACHABLE
 */
export async function connectAll(
  clients: readonly Connecting[],
  signal: AbortSignal,
): Promise<void> {
  const [first, ...others] = clients;
  let made = 0;
  const connect = async (client: Connecting, insist: boolean) => {
    await client.start(insist);
    made += 1;
  };
  if (first !== undefined) await connect(first, false);
  const waiting = others.values();
  const oneAfterAnother = async () => {
    for (const client of waiting) {
      if (signal.aborted) return;
      await connect(client, true);
    }
  };

  let stopWaiting = () => {};
  const ended = new Promise<void>((resolve, reject) => {
    const given = () => resolve();
    signal.addEventListener("abort", given);
    if (signal.aborted) resolve();
    const timer = setTimeout(() => {
      reject(
        new TwinstreamError(
          "BROKER_UNREACHABLE",
          `the MQTT broker took ${made} of ${clients.length} connections within ${DEADLINE_SECONDS} s; look at its connection limit and at "ulimit -n", or give fewer --connections`,
        ),
      );
    }, DEADLINE_SECONDS * 1000);
    stopWaiting = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", given);
    };
  });
  try {
    await Promise.race([
      ended,
      Promise.all(Array.from({ length: AT_ONCE }, oneAfterAnother)),
    ]);
  } finally {
    stopWaiting();
  }
}
