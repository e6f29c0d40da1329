/** What the view shows of many devices, for a comparison with what their sender knows. */
import { hash } from "node:crypto";
import { historyKey, lastStateKey } from "../../domain/names.js";
import { connect } from "./connect.js";

export interface ShownDevice {
  /** Of the last state, Unix seconds; null when there is none. */
  readonly timestamp: number | null;
  /** SHA-256 of the payload in the last state, hex; null when there is none. */
  readonly sha256: string | null;
  /** The same of each message in the history. */
  readonly history: ReadonlySet<string>;
}

/** Devices asked for in one pipeline. */
const AT_ONCE = 100;
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
              redis.hmget(lastStateKey(address), "timestamp", "payload"),
              redis.zrange(historyKey(address), 0, "-1"),
            ]),
          ),
        );
        for (const [n, [last, history]] of pairs.entries()) {
          const [timestamp = null, payload = null] = last;
          shown.set(some[n]!, {
            timestamp: timestamp === null ? null : Number(timestamp),
            sha256: payload === null ? null : hash("sha256", payload),
            history: new Set(history.map(payloadHash)),
          });
        }
      });
    }
    return shown;
  } finally {
    await link.close();
  }
}

/** Of the device's own bytes within a full message, see `fullMessage`. */
function payloadHash(member: string): string {
  const name = ',"payload":';
  const from = member.indexOf(name) + name.length;
  return hash(
    "sha256",
    member.slice(from, member.lastIndexOf(',"timestamp":')),
  );
}
