/** Another tenant sees nothing of a device, and its own does: otherwise seeing nothing would prove nothing. */
import { DEFAULT_TENANT } from "../../domain/names.js";
import { reasonOf } from "../../errors.js";
import type { Seen } from "./checks.js";
import { shown } from "./gateway-client.js";
import type { Ground } from "./ground.js";
import { sendSample } from "./sample.js";
import { NotSo } from "./wait.js";

export async function tenantsSeeTheirOwn(
  ground: Ground,
  signal: AbortSignal,
): Promise<Seen> {
  const { device } = await sendSample(ground, signal, "isolation");
  const tables = await inSql(ground, device.id);
  const http = await overHttp(ground, signal, device.id);
  return { found: `${http}; in SQL none of ${tables} tables and views` };
}

/** Answers how many tables were looked at. */
async function inSql(ground: Ground, device: string): Promise<number> {
  const { store, tenant, run } = ground;
  const own = await store.seenBy(tenant, device);
  for (const table of ["ts_measure", "telemetry_data", "equipments", "sensors"])
    if (own.get(table) === 0)
      throw new NotSo(
        `a reader of tenant ${tenant} sees nothing of ${device} in ${table}, which has its rows`,
      );
  for (const other of [`${run}-other`, null])
    for (const [table, rows] of await store.seenBy(other, device))
      if (rows > 0)
        throw new NotSo(
          `a reader ${other === null ? "without app.tenant_id" : "of another tenant"} sees ${rows} rows of ${device} in ${table}`,
        );
  const open = await store.openToReaders();
  if (open.length > 0)
    throw new NotSo(
      `twinstream_reader may read past the tenants' views: ${open.join(", ")}`,
    );
  return own.size;
}

async function overHttp(
  ground: Ground,
  signal: AbortSignal,
  device: string,
): Promise<string> {
  const { gateway, tenant } = ground;
  const token = await ground.ownToken(signal);
  if (token === null)
    return `over HTTP there is no log-in (AUTH=off), everybody is tenant ${DEFAULT_TENANT}`;
  let stranger: string;
  try {
    stranger = await ground.strangersToken(signal);
  } catch (error) {
    if (ground.settings.user === null) throw error;
    // Who names a user may have no right to make another.
    return `not tried over HTTP, which takes a second tenant's user (${reasonOf(error)})`;
  }
  const paths = [
    `/devices/${device}`,
    `/devices/${device}/history`,
    `/devices/${device}/commands`,
    `/analytics/equipment/${device}/history?resolution=raw`,
  ];
  for (const path of paths) {
    const own = await gateway.ask(signal, path, { token });
    if (own.status !== 200)
      throw new NotSo(
        `tenant ${tenant}'s own GET ${path} answers ${shown(own)}`,
      );
    const other = await gateway.ask(signal, path, { token: stranger });
    if (other.status !== 404)
      throw new NotSo(`another tenant's GET ${path} answers ${shown(other)}`);
  }
  const listed = await gateway.ask(signal, "/devices?all=1", {
    token: stranger,
  });
  if (listed.status !== 200 || JSON.stringify(listed.body).includes(device))
    throw new NotSo(`another tenant's GET /devices answers ${shown(listed)}`);
  return `another tenant's user gets 404 on ${paths.length} routes and an empty list`;
}
