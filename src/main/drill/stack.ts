/**
 * The stack that a drill may harm: one that `npm start` has started, that says so (deploy/stack/drills.mjs), and whose
 * addresses are those of the settings. Anything else is refused before anything is touched.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TwinstreamError } from "../../errors.js";
import { type Identity, identityOf, isAlive, processOf } from "./processes.js";

interface Marker {
  readonly launcher: Identity;
  readonly settings: Readonly<Record<string, string>>;
  readonly services: Readonly<
    Record<
      string,
      { readonly how: string; readonly pidFile?: string; folder?: string }
    >
  >;
  readonly roles: Readonly<
    Record<string, { readonly pidFile: string; readonly metricsPort: number }>
  >;
}

/** A process of the stack that can be ended, and that the stack starts again. */
export interface Target {
  readonly name: string;
  readonly pidFile: string;
  /** Of a service's data. */
  readonly folder: string | null;
}

export interface DrillStack {
  readonly dir: string;
  /** Its addresses, by the settings' names. */
  readonly settings: Marker["settings"];
  readonly roles: Marker["roles"];
  /** So that a second drill, whose faults would be this one's too, is refused. @throws TwinstreamError CONFIG_INVALID */
  begin(): () => void;
  /** @throws TwinstreamError CONFIG_INVALID when it cannot be ended from here */
  target(name: string): Target;
  /** Asks the stack to leave it down; answers how to let it go. A drill that dies holds nothing. */
  hold(target: Target): () => void;
}

const refused = (why: string): TwinstreamError =>
  new TwinstreamError("CONFIG_INVALID", why);

/**
 * @param dir the stack's folder @param env the settings as they were given
 * @throws TwinstreamError CONFIG_INVALID with the reason for a refusal
 */
export function drillStack(
  dir: string,
  env: Readonly<Record<string, string | undefined>>,
): DrillStack {
  if (env["NODE_ENV"] === "production")
    throw refused("a drill breaks things; it refuses NODE_ENV=production");
  const marker = readMarker(dir);
  if (!isAlive(marker.launcher))
    throw refused(
      `the stack of ${dir} does not run any more; start it with npm start`,
    );
  for (const [name, own] of Object.entries(marker.settings)) {
    const given = env[name];
    if (given !== undefined && given !== "" && given !== own)
      throw refused(
        `${name} is not that of the stack in ${dir}; a drill works on a stack that was started for it and on nothing else. ` +
          `Unset it, or: set -a; . ${join(dir, "stack.env")}; set +a`,
      );
  }
  return {
    dir,
    settings: marker.settings,
    roles: marker.roles,
    begin() {
      const file = join(dir, "drill.pid");
      const other = processOf(file);
      if (other !== null)
        throw refused(`another drill is at work on it (process ${other.pid})`);
      return claim(file);
    },
    target(name) {
      const role = marker.roles[name];
      if (role !== undefined) return { name, folder: null, ...role };
      const service = marker.services[name];
      if (service?.how !== "native" || service.pidFile === undefined)
        throw refused(
          `${name} of this stack is ${service?.how ?? "absent"}: a drill ends native servers only; start the stack with ` +
            "TWINSTREAM_SERVICES=native npm start",
        );
      const { pidFile, folder = null } = service;
      return { name, pidFile, folder };
    },
    hold({ name }) {
      return claim(join(dir, `drill-hold-${name}.json`));
    },
  };
}

/** Writes this process's name into a file, which says nothing once the process has ended. */
function claim(file: string): () => void {
  writeFileSync(file, JSON.stringify(identityOf(process.pid)), { mode: 0o600 });
  return () => rmSync(file, { force: true });
}

function readMarker(dir: string): Marker {
  try {
    return JSON.parse(readFileSync(join(dir, "drill.json"), "utf8")) as Marker;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw refused(
      code === "ENOENT"
        ? `${dir} has no stack that was started for drills (no drill.json there): npm start starts one; --stack names its folder`
        : `${join(dir, "drill.json")} cannot be read: ${String(error)}`,
    );
  }
}
