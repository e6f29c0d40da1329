/**
 * The processor with a death planted at one step of a command's life (`DIES_AT`), as sudden as SIGKILL's. Started in place of
 * the command line by tests of what the next processor makes of it.
 */
import { fileURLToPath } from "node:url";
import { type Planted, startProcessor } from "../../src/main/processor.js";
import { runRoles } from "../../src/main/role.js";

export const MORTAL_PROCESSOR = fileURLToPath(import.meta.url);

export type DiesAt =
  /** Its row is there, and it was not handed to the broker. */
  | "queued"
  /** The broker has acknowledged it, and nobody has taken note. */
  | "sent"
  /** The flush that would have stored the device's ack does not begin. */
  | "ack"
  /** Its condition is stored as holding, and it was not handed to the broker. */
  | "judged";

/** Never settles: nothing follows. */
function die(): Promise<never> {
  process.kill(process.pid, "SIGKILL");
  return new Promise(() => undefined);
}

const DEATHS: Readonly<Record<DiesAt, Planted>> = {
  queued: { link: (own) => ({ ...own, send: die }) },
  sent: {
    link: (own) => ({
      ...own,
      send: (...command) => own.send(...command).then(die),
    }),
  },
  ack: {
    store: (own) => ({
      ...own,
      flush: (batch, beforeCommit) =>
        batch.changes.some(({ acks }) => acks.length > 0)
          ? die()
          : own.flush(batch, beforeCommit),
    }),
  },
  judged: {
    store: (own) => ({
      ...own,
      async flush(batch, beforeCommit) {
        const result = await own.flush(batch, beforeCommit);
        const judged = result.fence === "moved" && result.judged.length > 0;
        return judged ? die() : result;
      },
    }),
  },
};

if (process.argv[1] === MORTAL_PROCESSOR)
  await runRoles([
    {
      name: "processor",
      start: (base) =>
        startProcessor(base, DEATHS[process.env["DIES_AT"] as DiesAt]),
    },
  ]);
