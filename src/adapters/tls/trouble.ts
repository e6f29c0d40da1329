/** What clients and servers say when a secure connection or a log-in does not come about, with the setting to change. */

/** The settings of one connection, as people know them. */
export interface Settings {
  /** Where the server is: `REDIS_URL`. */
  readonly address: string;
  /** Before _CA, _CERT and _KEY: `REDIS_TLS`. */
  readonly prefix: string;
  /** What names the authority, where it is no setting with `prefix`. */
  readonly authority?: string;
  /** Where user and password stand; in the address unless given. */
  readonly logIn?: string;
  /** What asks for TLS: `rediss:// in REDIS_URL`. */
  readonly ask: string;
}

type Advice = (settings: Settings) => string;

/** The texts are OpenSSL's, Node's and the servers'; the first that fits counts. */
const TROUBLES: readonly (readonly [RegExp, Advice])[] = [
  [
    /self[- ]signed certificate|unable to (get (local )?issuer|verify the first) certificate/i,
    ({ prefix, authority = `${prefix}_CA` }) =>
      `the server's certificate is not from an authority that is trusted here; name its authority's PEM file in ${authority}`,
  ],
  [
    /altnames|does not match certificate/i,
    ({ address }) =>
      `the server's certificate is for another host; use a name in ${address} that the certificate has, or have it made for this one`,
  ],
  [
    /alert (number 4[2-6]|number 116|certificate|bad certificate|unknown ca|unsupported certificate|handshake failure)|certificate required/i,
    ({ prefix }) =>
      `the server does not accept our certificate or misses one; ${prefix}_CERT and ${prefix}_KEY must be signed by an authority that it knows, and be in date`,
  ],
  [
    /certificate has expired/i,
    () =>
      "the server's certificate has expired; renew it there (or correct the clock here)",
  ],
  [
    /certificate is not yet valid/i,
    () =>
      "the server's certificate is not valid yet; compare its dates and the clock here",
  ],
  [
    /wrong version number|packet length too long|before secure TLS connection|does not support SSL|record layer failure/i,
    ({ address, ask }) =>
      `no TLS is spoken there; correct the port in ${address}, turn TLS on at the server, or do without (${ask})`,
  ],
  [
    /no pg_hba\.conf entry.*no encryption|connection requires (a valid client certificate|ssl)/i,
    ({ ask, prefix }) =>
      `the server takes encrypted connections alone or wants a certificate; set ${ask}, and ${prefix}_CERT and ${prefix}_KEY where it asks for one`,
  ],
  [
    /mechanism is not supported/i,
    () => "KAFKA_SASL_MECHANISM must be one that the brokers offer",
  ],
  [
    /password authentication failed|WRONGPASS|NOAUTH|invalid (username-password|credentials)|SASL.*(fail|denied|invalid)|authentication failed|bad user ?name or password|not authorized(?! to)|InvalidAccessKeyId|SignatureDoesNotMatch/i,
    ({ address, logIn }) =>
      `the log-in is refused; correct ${logIn ?? `user and password in ${address}`}`,
  ],
];

/** What to change, in a sentence; null where the text tells of something else. */
export function adviceOn(text: string, settings: Settings): string | null {
  for (const [words, advice] of TROUBLES)
    if (words.test(text)) return advice(settings);
  return null;
}

/** OpenSSL's error queue: thread, numbers, function and source file around the few words that tell something. */
const OPENSSL = /[0-9A-F]+:error:[0-9A-F]+:[^:]*:[^:]*:([^:\n]+):[^\n]*\n?/g;

/** The text in one line, with what to change where that is known. */
export function explained(text: string, settings: Settings): string {
  const advice = adviceOn(text, settings);
  const words = text.replace(OPENSSL, "$1");
  return advice === null ? words : `${words}: ${advice}`;
}

/** The gateway, as our own commands ask it. */
export const GATEWAY: Settings = {
  address: "the gateway's URL",
  prefix: "TLS",
  authority: "NODE_EXTRA_CA_CERTS",
  ask: "https:// in the gateway's URL",
};
