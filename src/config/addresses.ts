/**
 * Addresses and the certificates that go with them. A URL takes the files of its settings along as parameters, so that every
 * place that is given an address can go there: `sslmode`, `sslrootcert`, `sslcert` and `sslkey` for PostgreSQL, as psql knows
 * them; `tls_ca`, `tls_cert` and `tls_key` for the others, which `adapters/tls` takes out again.
 */
interface Files {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** The settings that this file reads. */
export interface SecureSettings {
  readonly MQTT_URL: string;
  readonly MQTT_ADMIN_URL?: string;
  readonly MQTT_TLS_CA?: string;
  readonly MQTT_TLS_CERT?: string;
  readonly MQTT_TLS_KEY?: string;
  readonly KAFKA_BROKERS: string;
  readonly KAFKA_TLS: "on" | "off";
  readonly KAFKA_TLS_CA?: string;
  readonly KAFKA_TLS_CERT?: string;
  readonly KAFKA_TLS_KEY?: string;
  readonly KAFKA_SASL_MECHANISM?: string;
  readonly KAFKA_SASL_USERNAME?: string;
  readonly KAFKA_SASL_PASSWORD?: string;
  readonly REDIS_URL: string;
  readonly REDIS_TLS_CA?: string;
  readonly REDIS_TLS_CERT?: string;
  readonly REDIS_TLS_KEY?: string;
  readonly DATABASE_URL: string;
  readonly DATABASE_READ_URL?: string;
  readonly DATABASE_TLS_CA?: string;
  readonly DATABASE_TLS_CERT?: string;
  readonly DATABASE_TLS_KEY?: string;
  readonly STORAGE_TYPE: string;
  readonly MINIO_ENDPOINT: string;
  readonly MINIO_TLS_CA?: string;
}

const SECURE_MQTT = /^(mqtts|ssl|wss):/;
const SECURE_REDIS = /^rediss:/;
const SSL_MODES = [
  "disable",
  "require",
  "verify-ca",
  "verify-full",
  "no-verify",
];

const PREFIXES = [
  "MQTT_TLS",
  "REDIS_TLS",
  "DATABASE_TLS",
  "KAFKA_TLS",
] as const;
type Prefix = (typeof PREFIXES)[number];

/** What `adapters/tls` looks for in an address. */
const TLS_PARAMETERS = { ca: "tls_ca", cert: "tls_cert", key: "tls_key" };

const filesOf = (settings: SecureSettings, prefix: Prefix): Files => ({
  ca: settings[`${prefix}_CA`],
  cert: settings[`${prefix}_CERT`],
  key: settings[`${prefix}_KEY`],
});
const isGiven = ({ ca, cert, key }: Files): boolean =>
  ca !== undefined || cert !== undefined || key !== undefined;

/** What does not go together, a line for each. */
export const addressProblems = (settings: SecureSettings): string[] => [
  ...halfGiven(settings),
  ...unusedFiles(settings),
  ...sslModeProblems(settings),
  ...halfLogIn(settings),
];

const halfGiven = (settings: SecureSettings): string[] =>
  PREFIXES.flatMap((prefix) => {
    const { cert, key } = filesOf(settings, prefix);
    return (cert === undefined) === (key === undefined)
      ? []
      : [
          `${prefix}_CERT and ${prefix}_KEY go together; only one of them was given`,
        ];
  });

const plain = (prefix: Prefix, what: string): string =>
  `${prefix}_CA, ${prefix}_CERT or ${prefix}_KEY is given, but ${what}: the connection would be in plain text`;

/** Files of connections that would use none. */
function unusedFiles(settings: SecureSettings): string[] {
  const problems: string[] = [];
  const has = (prefix: Prefix): boolean => isGiven(filesOf(settings, prefix));
  const mqtt = [
    settings.MQTT_URL,
    settings.MQTT_ADMIN_URL ?? settings.MQTT_URL,
  ];
  if (has("MQTT_TLS") && !mqtt.every((url) => SECURE_MQTT.test(url)))
    problems.push(
      plain(
        "MQTT_TLS",
        "MQTT_URL (or MQTT_ADMIN_URL) is not mqtts:// or wss://",
      ),
    );
  if (has("REDIS_TLS") && !SECURE_REDIS.test(settings.REDIS_URL))
    problems.push(plain("REDIS_TLS", "REDIS_URL is not rediss://"));
  if (has("KAFKA_TLS") && settings.KAFKA_TLS === "off")
    problems.push(plain("KAFKA_TLS", "KAFKA_TLS is off"));
  if (
    settings.MINIO_TLS_CA !== undefined &&
    !settings.MINIO_ENDPOINT.startsWith("https:")
  )
    problems.push(
      "MINIO_TLS_CA is given, but MINIO_ENDPOINT is not https://: the connection would be in plain text",
    );
  return problems;
}

function sslModeProblems(settings: SecureSettings): string[] {
  const problems: string[] = [];
  for (const name of ["DATABASE_URL", "DATABASE_READ_URL"] as const) {
    const mode = sslModeOf(settings[name]);
    if (mode === null) continue;
    if (!SSL_MODES.includes(mode))
      problems.push(
        `${name} has sslmode=${mode}; it must be verify-full, verify-ca, require or disable (prefer and allow would go on in plain text where the server knows no TLS)`,
      );
    else if (mode === "disable" && isGiven(filesOf(settings, "DATABASE_TLS")))
      problems.push(plain("DATABASE_TLS", `${name} has sslmode=disable`));
  }
  return problems;
}

function halfLogIn(settings: SecureSettings): string[] {
  const parts = [
    settings.KAFKA_SASL_MECHANISM,
    settings.KAFKA_SASL_USERNAME,
    settings.KAFKA_SASL_PASSWORD,
  ];
  return parts.includes(undefined) && parts.some((part) => part !== undefined)
    ? [
        "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD go together; not all of them were given",
      ]
    : [];
}

/** The settings with each address made whole. */
export function wholeAddresses<T extends SecureSettings>(settings: T): T {
  const database = (url: string) => withDatabaseTls(url, settings);
  return {
    ...settings,
    MQTT_URL: withMqttTls(settings.MQTT_URL, settings),
    ...(settings.MQTT_ADMIN_URL !== undefined && {
      MQTT_ADMIN_URL: withMqttTls(settings.MQTT_ADMIN_URL, settings),
    }),
    REDIS_URL: withFiles(
      settings.REDIS_URL,
      filesOf(settings, "REDIS_TLS"),
      TLS_PARAMETERS,
    ),
    DATABASE_URL: database(settings.DATABASE_URL),
    ...(settings.DATABASE_READ_URL !== undefined && {
      DATABASE_READ_URL: database(settings.DATABASE_READ_URL),
    }),
  };
}

/** A broker's address that was given in place of MQTT_URL, with the same files. */
export function withMqttTls(url: string, settings: SecureSettings): string {
  if (!SECURE_MQTT.test(url)) return url;
  return withFiles(url, filesOf(settings, "MQTT_TLS"), TLS_PARAMETERS);
}

/** With an authority and no `sslmode` of its own: everything is looked at. */
function withDatabaseTls(url: string, settings: SecureSettings): string {
  const files = filesOf(settings, "DATABASE_TLS");
  const whole = withFiles(url, files, {
    ca: "sslrootcert",
    cert: "sslcert",
    key: "sslkey",
  });
  if (!isGiven(files) || !URL.canParse(whole) || sslModeOf(whole) !== null)
    return whole;
  const changed = new URL(whole);
  changed.searchParams.set("sslmode", "verify-full");
  return changed.href;
}

/** What the URL says itself stays. */
function withFiles(
  url: string,
  files: Files,
  names: Readonly<Record<keyof Files, string>>,
): string {
  if (!isGiven(files) || !URL.canParse(url)) return url;
  const changed = new URL(url);
  for (const part of ["ca", "cert", "key"] as const) {
    const path = files[part];
    if (path !== undefined && !changed.searchParams.has(names[part]))
      changed.searchParams.set(names[part], path);
  }
  return changed.href;
}

function sslModeOf(url: string | undefined): string | null {
  if (url === undefined || !URL.canParse(url)) return null;
  return new URL(url).searchParams.get("sslmode");
}

/** What of the production settings crosses a network unprotected, a line for each; nothing is refused for it. */
export function plainTextCautions(settings: SecureSettings): string[] {
  const open: string[] = [];
  const add = (
    name: string,
    url: string | undefined,
    instead: string,
  ): void => {
    if (url !== undefined && isFar(url))
      open.push(
        `${name} goes over the network in plain text; use ${instead}, unless that network is trusted`,
      );
  };
  for (const name of ["MQTT_URL", "MQTT_ADMIN_URL"] as const)
    if (!SECURE_MQTT.test(settings[name] ?? ""))
      add(name, settings[name], "mqtts:// and MQTT_TLS_CA");
  if (!SECURE_REDIS.test(settings.REDIS_URL))
    add("REDIS_URL", settings.REDIS_URL, "rediss:// and REDIS_TLS_CA");
  for (const name of ["DATABASE_URL", "DATABASE_READ_URL"] as const) {
    const mode = sslModeOf(settings[name]);
    if (mode === null || mode === "disable")
      add(name, settings[name], "sslmode=verify-full and DATABASE_TLS_CA");
    else if (mode === "no-verify" || mode === "require")
      if (!settings[name]!.includes("sslrootcert="))
        open.push(
          `${name} has sslmode=${mode}, which takes any server for the right one; use verify-full and DATABASE_TLS_CA`,
        );
  }
  if (settings.KAFKA_TLS === "off")
    add(
      "KAFKA_BROKERS",
      settings.KAFKA_BROKERS.split(",")
        .map((broker) => `kafka://${broker.trim()}`)
        .find(isFar),
      "KAFKA_TLS=on and KAFKA_TLS_CA",
    );
  if (
    settings.STORAGE_TYPE === "minio" &&
    !settings.MINIO_ENDPOINT.startsWith("https:")
  )
    add("MINIO_ENDPOINT", settings.MINIO_ENDPOINT, "https:// and MINIO_TLS_CA");
  return open;
}

/** Whether an address is of another machine. */
function isFar(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { hostname } = new URL(url);
  return !/^(|localhost|127\.[\d.]+|\[::1\])$/.test(hostname);
}
