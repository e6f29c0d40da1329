/**
 * Certificates: the PEM files that settings name, read and tried before anything connects with them. An address carries
 * its files as parameters of its URL (`config/addresses.ts` puts them there), so that whoever is given an address has what
 * it takes to go there.
 */
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { reasonOf, TwinstreamError } from "../../errors.js";

/** Paths. */
export interface TlsFiles {
  /** Of the authority that signed the server's certificate; the usual public ones where it is missing. */
  readonly ca?: string | undefined;
  /** Our own certificate, for servers that ask for one, and its key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** The same as texts, as `node:tls` takes them. */
export interface TlsOptions {
  ca?: string;
  cert?: string;
  key?: string;
}

const PARTS = ["ca", "cert", "key"] as const;

/**
 * @param prefix of the settings' names: `MQTT_TLS` for MQTT_TLS_CA, MQTT_TLS_CERT and MQTT_TLS_KEY
 * @throws TwinstreamError CONFIG_INVALID with the setting whose file cannot be read or is no PEM file
 */
export function readTls(files: TlsFiles, prefix: string): TlsOptions {
  const options: TlsOptions = {};
  for (const part of PARTS) {
    const path = files[part];
    if (path === undefined) continue;
    const setting = `${prefix}_${part.toUpperCase()}`;
    options[part] = textOf(path, setting);
    // The key is of use with its certificate alone.
    if (part !== "cert") tryOut(options, part === "ca" ? setting : prefix);
  }
  return options;
}

/**
 * The address without the files that its parameters `tls_ca`, `tls_cert` and `tls_key` name, and what is in those files.
 * @throws TwinstreamError CONFIG_INVALID
 */
export function takeTls(
  address: string,
  prefix: string,
): { url: string; tls: TlsOptions } {
  if (!/[?&]tls_(ca|cert|key)=/.test(address) || !URL.canParse(address))
    return { url: address, tls: {} };
  const url = new URL(address);
  const files: Record<string, string> = {};
  for (const part of PARTS) {
    const path = url.searchParams.get(`tls_${part}`);
    if (path !== null) files[part] = path;
    url.searchParams.delete(`tls_${part}`);
  }
  return { url: url.href, tls: readTls(files, prefix) };
}

function textOf(path: string, setting: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new TwinstreamError(
      "CONFIG_INVALID",
      `${setting} cannot be read: ${reasonOf(error)}`,
    );
  }
  if (text.includes("-----BEGIN ")) return text;
  throw new TwinstreamError(
    "CONFIG_INVALID",
    `${setting} must be a PEM file, with a line -----BEGIN …-----; ${path} is none`,
  );
}

function tryOut(options: TlsOptions, what: string): void {
  try {
    createSecureContext(options);
  } catch (error) {
    throw new TwinstreamError(
      "CONFIG_INVALID",
      options.key === undefined
        ? `${what} holds no certificate that can be used: ${reasonOf(error)}`
        : `${what}_CERT and ${what}_KEY do not go together: ${reasonOf(error)}`,
    );
  }
}
