/** Certificates of a test's own, made by the openssl command: good ones, and each kind that must be refused. */
import { execFile } from "node:child_process";
import { chmod, chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Paths of PEM files, readable by the services' accounts. */
export interface Certificates {
  readonly folder: string;
  /** The authority of all below. */
  readonly ca: string;
  /** For localhost and 127.0.0.1. */
  readonly server: Pair;
  /** For `elsewhere.test`. */
  readonly elsewhere: Pair;
  /** Ended yesterday. */
  readonly expired: Pair;
  /** For clients; its common name is `twinstream`. */
  readonly client: Pair;
  /** Another authority, which has signed nothing here. */
  readonly strangersCa: string;
}
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
const HERE = "DNS:localhost,IP:127.0.0.1";

export async function withCertificates<T>(
  work: (certificates: Certificates) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "twinstream-certificates-"));
  try {
    await chmod(folder, 0o755);
    const at = (name: string) => join(folder, name);
    const authority = async (name: string) => {
      await run("openssl", [
        "req",
        "-x509",
        ...EC,
        "-days",
        "2",
        "-subj",
        `/CN=${name} authority`,
        "-keyout",
        at(`${name}.key`),
        "-out",
        at(`${name}.pem`),
      ]);
      return at(`${name}.pem`);
    };
    const [ca, strangersCa] = await Promise.all([
      authority("ca"),
      authority("strangers"),
    ]);
    const signed = async (
      name: string,
      host: string,
      names: string,
      days = "2",
    ): Promise<Pair> => {
      const [cert, key] = [at(`${name}.pem`), at(`${name}.key`)];
      await run("openssl", [
        "req",
        ...EC,
        "-subj",
        `/CN=${host}`,
        "-keyout",
        key,
        "-out",
        at(`${name}.csr`),
      ]);
      await writeFile(at(`${name}.ext`), `subjectAltName=${names}\n`);
      await run("openssl", [
        "x509",
        "-req",
        "-in",
        at(`${name}.csr`),
        "-days",
        days,
        "-CA",
        ca,
        "-CAkey",
        at("ca.key"),
        "-CAcreateserial",
        "-CAserial",
        at(`${name}.srl`),
        "-extfile",
        at(`${name}.ext`),
        "-out",
        cert,
      ]);
      await chmod(key, 0o644);
      return { cert, key };
    };
    const [server, elsewhere, expired, client] = await Promise.all([
      signed("server", "localhost", HERE),
      signed("elsewhere", "elsewhere.test", "DNS:elsewhere.test"),
      signed("expired", "localhost", HERE, "-1"),
      signed("client", "twinstream", "DNS:twinstream"),
    ]);
    return await work({
      folder,
      ca,
      server,
      elsewhere,
      expired,
      client,
      strangersCa,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** PostgreSQL takes a key only from a file that is its account's alone. */
export async function keyForPostgres(key: string): Promise<void> {
  const { accountFor } = (await import(
    pathToFileURL(resolve("deploy/native/place.mjs")).href
  )) as {
    accountFor(names: string[]): { uid: number; gid: number } | null;
  };
  const account = accountFor(["postgres"]);
  if (account !== null) await chown(key, account.uid, account.gid);
  await chmod(key, 0o600);
}
