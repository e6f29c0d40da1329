/** Readers of live streams that take nothing, and such as vanish, beside some that read. */
import { residentBytes } from "../../../src/main/drill/processes.js";
import { openSse, openWebSocket } from "../../support/live-clients.js";
import { least } from "../acts.js";
import type { Ground } from "../ground.js";
import { type Probe, QUIET_MS, startProbe } from "../probe.js";
import { scenarios } from "../scenario.js";

const STUCK = 40;
const VANISHED = 10;
/** Between two crowds that vanish, milliseconds. */
const EVERY_MS = 1000;
const CUT_OFF = "readers cut off";
const STUCK_SECONDS = 10;
const MIB = 1024 * 1024;
/** What the gateway may grow by: what waits for a slow reader is bounded, and it is cut off. */
const MOST_GROWN_MIB = 96;
const P99 = 0.99;
/** As for devices: twice the quiet value, or what is promised at all, milliseconds. */
const TIMES_QUIET = 2;
const GOOD_MS = 100;
const HEARD_MS = 30_000;

interface Kept {
  readonly probe: Probe;
  fromMs: number;
  bytesBefore: number;
}
const kept = new WeakMap<Ground["stack"], Kept>();

const liveOf = (ground: Ground): string =>
  `${ground.roles.gateways()[0]}/api/v1/live`;
const gatewayBytes = (ground: Ground): number =>
  residentBytes({ pid: ground.roles.process("gateway-1").pid, born: "" }) ?? 0;

async function openStuck(ground: Ground): Promise<void> {
  const streams = await Promise.all(
    Array.from({ length: STUCK }, (_, n) =>
      (n % 2 === 0 ? openSse : openWebSocket)(liveOf(ground)),
    ),
  );
  for (const stream of streams) {
    stream.freeze();
    ground.onEnd(async () => stream.close());
  }
  ground.note(`${STUCK} readers of every device take nothing any more`);
}

async function openVanishing(ground: Ground): Promise<void> {
  const streams = await Promise.all(
    Array.from({ length: VANISHED }, () => openSse(liveOf(ground))),
  );
  for (const stream of streams) stream.close();
  ground.count("readers that vanished", streams.length);
}

export const READERS = scenarios({
  name: "live-readers",
  does: `${STUCK} readers of /live that take nothing, and ${VANISHED} a second that vanish, beside one that reads`,
  expects:
    "the gateway's memory is bounded, who takes nothing is cut off, who reads gets each message, within twice the quiet p99",
  roles: { bridge: 1, processor: 1, gateway: 1 },
  settings: {
    LIVE_STUCK_SECONDS: String(STUCK_SECONDS),
    LIVE_MAX_PER_USER: "0",
    LIVE_MAX_PER_ADDRESS: "0",
  },
  async before(ground) {
    const probe = await startProbe(ground, liveOf(ground));
    kept.set(ground.stack, { probe, fromMs: Infinity, bytesBefore: 0 });
  },
  schedule: (_draw, { seconds }) => {
    const at = Math.round(seconds / 3);
    return [
      {
        at,
        to: "readers that take nothing",
        does: `${STUCK} readers open a stream of every device and take nothing`,
        async run(ground) {
          Object.assign(kept.get(ground.stack)!, {
            fromMs: performance.now(),
            bytesBefore: gatewayBytes(ground),
          });
          await openStuck(ground);
        },
      },
      ...Array.from({ length: Math.floor((seconds - at) / 2) }, (_, n) => ({
        at: at + 1 + (n * EVERY_MS) / 1000,
        to: "readers that vanish",
        does: `${VANISHED} readers open a stream and vanish`,
        run: openVanishing,
      })),
    ];
  },
  async also(ground) {
    const { probe, fromMs, bytesBefore } = kept.get(ground.stack)!;
    const wrong: string[] = [];
    const unheard = await probe.end(HEARD_MS);
    if (unheard > 0) wrong.push(`${unheard} messages did not come to a reader`);
    const all = () => true;
    const quiet = probe.latency(P99, fromMs - QUIET_MS, fromMs, all);
    const beside = probe.latency(P99, fromMs, performance.now(), all);
    ground.figure("p99 before, ms", quiet ?? "none");
    ground.figure("p99 beside them, ms", beside ?? "none");
    if (quiet === null || beside === null) wrong.push("nothing was probed");
    else if (beside > Math.max(TIMES_QUIET * quiet, GOOD_MS))
      wrong.push(`p99 of a reader went from ${quiet} to ${beside} ms`);
    const peak = ground.roles.peaks.get("gateway-1") ?? 0;
    const grown = Math.round((peak - bytesBefore) / MIB);
    ground.figure("MiB that the gateway grew by", grown);
    if (grown > MOST_GROWN_MIB) wrong.push(`the gateway grew by ${grown} MiB`);
    const cut = await ground.roles.total("live_closed_slow_total");
    ground.count(CUT_OFF, cut);
    return wrong;
  },
  // A smaller load takes longer than a trial to fill what the kernel holds of a connection.
  missed: least(CUT_OFF, STUCK),
});
