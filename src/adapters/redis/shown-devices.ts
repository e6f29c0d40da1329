/** What the view shows of many devices, for a comparison with what their sender knows. */
import { historyKey, lastStateKey } from "../../domain/names.js";
import { connect } from "./connect.js";

export interface ShownDevice {
  /** Of the last state, Unix seconds; null when there is none. */
  readonly timestamp: number | null;
  /** Messages in the history. */
  readonly history: number;
}

/** Devices asked for in one pipeline. */
const AT_ONCE = 500;
const SILENCE_MS = 5000;

/** By address. @throws TwinstreamError VIEW_UNREACHABLE */
export async function readShownDevices(
  url: string,
  addresses: readonly string[],
): Promise<Map<string, ShownDevice>> {
  const link = connect({
    url,
    name: "twinstream-drill",
    silenceMs: SILENCE_MS,
  });
  const shown = new Map<string, ShownDevice>();
  try {
    for (let i = 0; i < addresses.length; i += AT_ONCE) {
      const some = addresses.slice(i, i + AT_ONCE);
      await link.run(async (redis) => {
        const pairs = await Promise.all(
          some.map((address) =>
            Promise.all([
              redis.hget(lastStateKey(address), "timestamp"),
              redis.zcard(historyKey(address)),
            ]),
          ),
        );
        for (const [n, [timestamp, history]] of pairs.entries())
          shown.set(some[n]!, {
            timestamp: timestamp === null ? null : Number(timestamp),
            history,
          });
      });
    }
    return shown;
  } finally {
    await link.close();
  }
}
