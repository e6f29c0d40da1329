/** What `twinstream devices` does. */
import { readFile } from "node:fs/promises";
import { prepareServiceAccount } from "../adapters/mqtt/service-account.js";
import { type Config, loadConfig } from "../config.js";
import { isSegment } from "../domain/names.js";
import { reasonOf } from "../errors.js";
import type { Credential, IssuedCredential } from "../ports.js";
import { openCredentials, type OpenCredentials } from "./credentials.js";
import {
  deviceTable,
  issuedText,
  shownCredential,
  shownIssued,
} from "./devices-shown.js";
import { createActLog, type TellAct, whoRuns } from "./operator-acts.js";

export interface Tools extends OpenCredentials {
  readonly config: Config;
  readonly audit: TellAct;
}

interface Common {
  readonly tenant: string;
  readonly json?: true;
}

export interface ListOptions {
  readonly tenant?: string;
  readonly due?: true;
  readonly all?: true;
  readonly json?: true;
}

export interface AddOptions extends Common {
  readonly site?: string;
  readonly from?: string;
  readonly ifNone?: true;
  readonly rotatesItself?: true;
}

export interface RotateOptions extends Common {
  /** Hours. */
  readonly overlap?: number;
}

export interface RevokeOptions extends Common {
  readonly username?: string;
}

export interface InitOptions {
  readonly asAnyDevice?: boolean;
  readonly json?: true;
}

/** Devices whose credentials are made together; each is shown as soon as its batch is done. */
const BATCH = 100;
const HOUR_MS = 3_600_000;

export async function withTools(
  work: (tools: Tools) => Promise<void>,
): Promise<void> {
  const config = loadConfig(process.env);
  const open = openCredentials(config, "devices");
  try {
    await work({ ...open, config, audit: createActLog(config) });
  } finally {
    await open.close();
  }
}

async function list(
  { credentials, book, broker }: Tools,
  device: string | undefined,
  options: ListOptions,
): Promise<void> {
  const filter = {
    ...(options.tenant !== undefined && { tenant: options.tenant }),
    ...(device !== undefined && { deviceIds: [device] }),
  };
  const found = options.due
    ? await credentials.due(filter)
    : await book.find(filter);
  if (options.all)
    found.push(...(await book.find({ ...filter, states: ["revoked"] })));
  const missing = missingAt(await knownAt(broker), found);
  if (options.json)
    for (const one of found)
      console.log(
        JSON.stringify({
          ...shownCredential(one),
          at_broker: missing === null ? null : !missing.has(one.username),
        }),
      );
  else console.log(deviceTable(found, missing ?? new Set()));
}

/** Null, and why on stderr, when the broker cannot be asked: the book is shown all the same. */
async function knownAt(broker: Tools["broker"]): Promise<string[] | null> {
  try {
    return await broker.list();
  } catch (error) {
    console.error(`the broker was not asked: ${reasonOf(error)}`);
    return null;
  }
}

/** Those that should work and that the broker does not have: its file was lost, and their passwords with it. */
function missingAt(
  known: readonly string[] | null,
  found: readonly Credential[],
): Set<string> | null {
  if (known === null) return null;
  const there = new Set(known);
  return new Set(
    found
      .filter(({ state }) => state === "active" || state === "retiring")
      .map(({ username }) => username)
      .filter((username) => !there.has(username)),
  );
}

async function add(
  { credentials, book, audit }: Tools,
  named: readonly string[],
  options: AddOptions,
): Promise<void> {
  const { tenant, site = null } = options;
  const given = [...named, ...(await idsIn(options.from))];
  let ids = [...new Set(given)];
  if (ids.length === 0)
    throw new Error("no device was named; give ids, or --from a file of them");
  const bad = ids.find((id) => !isSegment(id));
  if (bad !== undefined)
    throw new Error(
      `${JSON.stringify(bad)} is no device id: 1 to 128 of [A-Za-z0-9._:-]`,
    );
  if (options.ifNone) {
    const open = await book.find({ tenant, deviceIds: ids });
    const have = new Set(open.map(({ deviceId }) => deviceId));
    ids = ids.filter((id) => !have.has(id));
    if (have.size > 0)
      console.error(`${have.size} devices have credentials already`);
  }
  const by = operator();
  const handsOver = options.rotatesItself === true;
  for (let from = 0; from < ids.length; from += BATCH) {
    const batch = ids.slice(from, from + BATCH);
    const issued = await audited(audit, "devices add", batch, tenant, () =>
      credentials.add(
        batch.map((deviceId) => ({ tenant, deviceId, site, by, handsOver })),
      ),
    );
    for (const one of issued) show(one, options);
    if (ids.length > BATCH)
      console.error(`${from + batch.length} of ${ids.length} devices`);
  }
}

async function idsIn(file: string | undefined): Promise<string[]> {
  if (file === undefined) return [];
  const text = await readFile(file === "-" ? "/dev/stdin" : file, "utf8");
  return text
    .split(/\s+/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

async function rotate(
  { credentials, audit, config }: Tools,
  device: string,
  options: RotateOptions,
): Promise<void> {
  const { tenant, overlap } = options;
  const overlapMs = (overlap ?? config.MQTT_PASSWORD_OVERLAP_HOURS) * HOUR_MS;
  const issued = await audited(audit, "devices rotate", [device], tenant, () =>
    credentials.rotate(tenant, device, operator(), overlapMs),
  );
  show(issued, options);
  if (!options.json)
    console.log(
      `the earlier password works until ${new Date(Date.now() + overlapMs).toISOString()}`,
    );
}

async function revoke(
  { credentials, audit }: Tools,
  device: string,
  { tenant, username, json }: RevokeOptions,
): Promise<void> {
  const ended = await audited(audit, "devices revoke", [device], tenant, () =>
    credentials.revoke(tenant, device, username ?? null, operator()),
  );
  for (const one of ended)
    console.log(
      json
        ? JSON.stringify({ username: one, state: "revoked" })
        : `${one} is revoked, and its session closed`,
    );
}

async function init(
  { config, audit }: Tools,
  { asAnyDevice = false, json }: InitOptions,
): Promise<void> {
  const username = await prepareServiceAccount({
    adminUrl: config.MQTT_ADMIN_URL ?? null,
    url: config.MQTT_URL,
    topics: config.MQTT_TOPICS,
    tenantPrefix: config.MQTT_TENANT_PREFIX,
    shareGroup: config.MQTT_SHARE_GROUP,
    asAnyDevice,
  });
  audit("devices init", username, null, true);
  console.log(
    json
      ? JSON.stringify({ username })
      : `the broker knows ${username}, the account of MQTT_URL`,
  );
}

/** A line of the audit log for each device, whatever comes of it. */
async function audited<T>(
  audit: TellAct,
  act: string,
  devices: readonly string[],
  tenant: string,
  work: () => Promise<T>,
): Promise<T> {
  let done = false;
  try {
    const answer = await work();
    done = true;
    return answer;
  } finally {
    for (const device of devices) audit(act, device, tenant, done);
  }
}

function show(issued: IssuedCredential, { json }: { json?: true }): void {
  console.log(json ? JSON.stringify(shownIssued(issued)) : issuedText(issued));
}

const operator = (): string => `${whoRuns()} at the command line`;

export const acts = { list, add, rotate, revoke, init };
