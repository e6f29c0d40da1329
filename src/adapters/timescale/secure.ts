/** How a connection to the database is made secure, as its URL says it. */
import { isIP } from "node:net";
import type pg from "pg";
import { readTls } from "../tls/files.js";
import type { Settings } from "../tls/trouble.js";

export const SETTINGS: Settings = {
  address: "DATABASE_URL",
  prefix: "DATABASE_TLS",
  ask: "sslmode in DATABASE_URL",
};

/**
 * `sslmode` means what it means to libpq and psql: require looks at nothing unless there is an authority's file, verify-ca
 * at the certificate's authority, verify-full at the host too. The driver has meanings of its own (with pg-connection-string
 * 2, require and verify-ca are verify-full, with a warning on stderr; from 3 on they are libpq's), so that these parameters
 * are taken out of the URL before it sees them.
 * @throws TwinstreamError CONFIG_INVALID with the setting whose file cannot be used
 */
export function addressed(
  text: string,
): Pick<pg.ClientConfig, "connectionString" | "ssl"> {
  if (!/[?&]ssl/.test(text) || !URL.canParse(text))
    return { connectionString: text };
  const url = new URL(text);
  const take = (name: string): string | undefined => {
    const value = url.searchParams.get(name);
    url.searchParams.delete(name);
    return value ?? undefined;
  };
  const ssl = take("ssl");
  const files = {
    ca: take("sslrootcert"),
    cert: take("sslcert"),
    key: take("sslkey"),
  };
  take("uselibpqcompat");
  const given = take("sslmode");
  const asked =
    ssl === undefined && Object.values(files).every((one) => one === undefined)
      ? undefined
      : ssl === "false" || ssl === "0"
        ? "disable"
        : "verify-full";
  const mode = given ?? asked;
  const connectionString = url.href;
  if (mode === undefined) return { connectionString };
  if (mode === "disable") return { connectionString, ssl: false };
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const looks = mode !== "no-verify" && (mode !== "require" || files.ca);
  return {
    connectionString,
    ssl: {
      ...readTls(files, SETTINGS.prefix),
      // Node compares with `localhost` where the driver connects to a bare address and names no host.
      ...(isIP(host) !== 0 && { host }),
      ...(!looks && { rejectUnauthorized: false }),
      ...(mode !== "verify-full" && { checkServerIdentity: () => undefined }),
    },
  };
}
