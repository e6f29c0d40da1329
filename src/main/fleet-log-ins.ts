/** The simulated fleet's own log-ins: made as an operator makes them, and kept in a file as devices keep theirs. */
import type { Config } from "../config.js";
import { DEFAULT_TENANT } from "../domain/names.js";
import type { Credential } from "../ports.js";
import { fleetIds } from "../simulator/devices.js";
import {
  type DeviceLogIn,
  readLogIns,
  writeLogIns,
} from "../simulator/log-ins.js";
import type { SimulateOptions } from "../simulator/options.js";
import { openCredentials } from "./credentials.js";

/** Devices that are given theirs together; the file is written after each batch. */
const BATCH = 100;
const BY = "simulate";

/** Every device's log-in by its id. One that the file does not have, or that is due or gone at the broker, is made anew. */
export async function fleetLogIns(
  file: string,
  options: Pick<SimulateOptions, "devices" | "prefix" | "tenant" | "site">,
  config: Config,
): Promise<ReadonlyMap<string, DeviceLogIn>> {
  const { tenant = DEFAULT_TENANT, site = null } = options;
  const ids = fleetIds(options.prefix, options.devices);
  const logIns = await readLogIns(file);
  const { credentials, book, broker, close } = openCredentials(config, BY);
  try {
    const open = await book.find({ tenant, deviceIds: ids });
    const due = new Set((await credentials.due({ tenant })).map(nameOf));
    const atBroker = new Set(await broker.list());
    const good = new Set(
      open
        .filter(({ state }) => state === "active")
        .map(nameOf)
        .filter((name) => atBroker.has(name) && !due.has(name)),
    );
    const lacking = ids.filter((id) => {
      const known = logIns.get(id);
      return known === undefined || !good.has(known.username);
    });
    for (let from = 0; from < lacking.length; from += BATCH) {
      const batch = lacking.slice(from, from + BATCH);
      await credentials.end(
        open.filter(({ deviceId }) => batch.includes(deviceId)),
        BY,
      );
      const issued = await credentials.add(
        batch.map((deviceId) => ({
          tenant,
          deviceId,
          site,
          by: BY,
          handsOver: false,
        })),
      );
      for (const { deviceId, username, password, clientId } of issued)
        logIns.set(deviceId, { deviceId, username, password, clientId });
      await writeLogIns(file, logIns);
    }
    return logIns;
  } finally {
    await close();
  }
}

const nameOf = ({ username }: Credential): string => username;
