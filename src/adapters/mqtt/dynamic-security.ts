/**
 * Accounts in Mosquitto's dynamic security plugin: commands as JSON on a topic of its own, answered to whoever asked.
 *
 * Seen on 2.0.11: it knows no %u or %c in its rules, so each account has a role of its own, with exact topics. deleteClient
 * closes the live session (reason 152). The whole file is written anew after every single command, batched or not, while the
 * broker does nothing else. Measured on two cores: 6 ms a device with 200 accounts, 26 with 1,000, 36 with 2,000; on the same
 * machine at a load of 18, in these short batches: 8, 56 and 240 ms with 1,900, other devices waiting 0.5 and 1.6 s at worst.
 * A broker without the plugin takes the commands (PUBACK reason 0) and answers nothing.
 */
import { randomUUID } from "node:crypto";
import type { MqttClient } from "mqtt";
import { reasonOf, TwinstreamError } from "../../errors.js";
import type { BrokerAccount, BrokerAccounts } from "../../ports.js";
import { connectMqtt, disconnectMqtt, unreachable } from "./connect.js";

export interface Command {
  readonly command: string;
  readonly [field: string]: unknown;
}

export interface Answer {
  readonly command: string;
  readonly data?: unknown;
  readonly error?: string;
}

/** Sends commands in one message; answers in their order, the errors of single ones among them. */
export type Ask = (commands: readonly Command[]) => Promise<Answer[]>;

const TOPIC = "$CONTROL/dynamic-security/v1";
const CONNECT_MS = 10_000;
/** The answer is sent before the PUBACK; a plugin that is there needs no longer. */
const SILENT_MS = 2000;
const ANSWER_MS = 60_000;
/** Accounts in a message: as many as keep the broker from its devices for about this long. */
const STALL_MS = 200;
const FIRST_BATCH = 5;
const LARGEST_BATCH = 200;
/** User names a page of the list. */
const PAGE = 5000;
const EXISTS = /already exists/i;
const MISSING = /not found/i;

/** @param url MQTT_ADMIN_URL; null: it is not set, and every call says so. */
export function createDynamicSecurity(url: string | null): BrokerAccounts {
  async function make(
    ask: Ask,
    accounts: readonly BrokerAccount[],
  ): Promise<BrokerAccount[]> {
    const answers = await ask(
      accounts.flatMap((account) => [
        {
          command: "createRole",
          rolename: roleOf(account.username),
          acls: aclsOf(account),
        },
        {
          command: "createClient",
          username: account.username,
          password: account.password,
          clientid: account.clientId,
          roles: [{ rolename: roleOf(account.username) }],
        },
      ]),
    );
    const taken = accounts.filter((_, i) =>
      [answers[2 * i], answers[2 * i + 1]].some(({ error = "" } = NOTHING) =>
        EXISTS.test(error),
      ),
    );
    mustBe(answers, EXISTS);
    return taken;
  }

  return {
    put: (accounts) =>
      withControl(url, async (ask) => {
        if (accounts.length === 0)
          mustBe(await ask([{ command: "getDefaultACLAccess" }]), null);
        await inBatches(accounts, async (batch) => {
          const taken = await make(ask, batch);
          if (taken.length === 0) return;
          await unmake(
            ask,
            taken.map(({ username }) => username),
          );
          await make(ask, taken);
        });
      }),
    remove: (usernames) =>
      withControl(url, (ask) =>
        inBatches(usernames, (batch) => unmake(ask, batch)),
      ),
    list: () => withControl(url, listAll),
  };
}

const NOTHING: Answer = { command: "" };
const roleOf = (username: string): string => `device ${username}`;

const aclsOf = ({ rights }: BrokerAccount): object[] => [
  ...rights.publish.map((topic) => allow("publishClientSend", topic)),
  ...rights.subscribe.flatMap((topic) => [
    allow("subscribeLiteral", topic),
    allow("publishClientReceive", topic),
  ]),
];

const allow = (acltype: string, topic: string): object => ({
  acltype,
  topic,
  allow: true,
});

async function unmake(ask: Ask, usernames: readonly string[]): Promise<void> {
  mustBe(
    await ask(
      usernames.flatMap((username) => [
        { command: "deleteClient", username },
        { command: "deleteRole", rolename: roleOf(username) },
      ]),
    ),
    MISSING,
  );
}

async function listAll(ask: Ask): Promise<string[]> {
  const all: string[] = [];
  for (;;) {
    const [answer = NOTHING] = await ask([
      { command: "listClients", count: PAGE, offset: all.length },
    ]);
    mustBe([answer], null);
    const { clients, totalCount } = answer.data as {
      clients: string[];
      totalCount: number;
    };
    all.push(...clients);
    if (clients.length === 0 || all.length >= totalCount) return all;
  }
}

function mustBe(answers: readonly Answer[], but: RegExp | null): void {
  for (const { command, error } of answers)
    if (error !== undefined && !but?.test(error))
      throw new TwinstreamError(
        "BROKER_NO_ACCOUNTS",
        `the MQTT broker refused ${command}: ${error}`,
      );
}

async function inBatches<T>(
  all: readonly T[],
  work: (batch: T[]) => Promise<void>,
): Promise<void> {
  let size = FIRST_BATCH;
  for (let from = 0; from < all.length;) {
    const batch = all.slice(from, from + size);
    const beganMs = performance.now();
    await work(batch);
    const tookMs = Math.max(1, performance.now() - beganMs);
    from += batch.length;
    const fitting = Math.floor((batch.length * STALL_MS) / tookMs);
    size = Math.min(LARGEST_BATCH, 2 * size, Math.max(1, fitting));
  }
}

/**
 * A connection of the control user for the length of `work`.
 * @throws BROKER_NO_ACCOUNTS, BROKER_UNREACHABLE, CONFIG_INVALID
 */
export async function withControl<T>(
  url: string | null,
  work: (ask: Ask) => Promise<T>,
): Promise<T> {
  if (url === null)
    throw new TwinstreamError(
      "BROKER_NO_ACCOUNTS",
      "MQTT_ADMIN_URL is not set: the MQTT broker's accounts cannot be managed from here. Set it to MQTT_URL with the control user of Mosquitto's dynamic security plugin, or make the account with the broker's own tools",
    );
  const client = await open(url);
  try {
    return await work(asker(client));
  } finally {
    await disconnectMqtt(client);
  }
}

function open(url: string): Promise<MqttClient> {
  return new Promise((resolve, reject) => {
    const fail = (detail: string): void => {
      clearTimeout(late);
      client.end(true);
      reject(unreachable(`${detail} (tried with MQTT_ADMIN_URL)`));
    };
    let version: number | undefined = 5;
    const client = connectMqtt(
      {
        url,
        clientId: `twinstream-accounts-${randomUUID()}`,
        role: "accounts",
        observer: {
          emit(event) {
            if (event.type !== "mqtt_connection" || event.connected) return;
            if (client.options.protocolVersion === version) fail(event.detail);
            // No failure: it goes on with MQTT 3.1.1.
            else version = client.options.protocolVersion;
          },
        },
      },
      { clean: true },
    );
    const late = setTimeout(() => fail("no answer"), CONNECT_MS);
    client.once("connect", () => {
      client.subscribeAsync(`${TOPIC}/response`, { qos: 1 }).then(
        () => {
          clearTimeout(late);
          resolve(client);
        },
        (error: unknown) => {
          clearTimeout(late);
          client.end(true);
          reject(unmanaged(reasonOf(error)));
        },
      );
    });
  });
}

function asker(client: MqttClient): Ask {
  let answered = false;
  return (commands) => {
    if (commands.length === 0) return Promise.resolve([]);
    const question = randomUUID();
    return new Promise((resolve, reject) => {
      const settle = (how: () => void): void => {
        clearTimeout(late);
        client.off("message", heard);
        client.off("close", lost);
        how();
      };
      const fail = (error: Error): void => settle(() => reject(error));
      const lost = (): void => fail(unreachable("the connection was lost"));
      const heard = (_topic: string, payload: Buffer): void => {
        const answers = answersIn(payload);
        if (answers[0]?.correlationData !== question) return;
        answered = true;
        settle(() => resolve(answers));
      };
      let late = setTimeout(
        () => fail(unreachable("no answer to a command")),
        ANSWER_MS,
      );
      client.on("message", heard);
      client.on("close", lost);
      const text = JSON.stringify({
        commands: commands.map((one) => ({
          ...one,
          correlationData: question,
        })),
      });
      client.publishAsync(TOPIC, text, { qos: 1 }).then(
        () => {
          if (answered) return;
          clearTimeout(late);
          late = setTimeout(
            () => fail(unmanaged("it does not answer")),
            SILENT_MS,
          );
        },
        (error: unknown) => fail(unmanaged(reasonOf(error))),
      );
    });
  };
}

function answersIn(payload: Buffer): (Answer & { correlationData?: string })[] {
  return (
    JSON.parse(payload.toString()) as {
      responses: (Answer & { correlationData?: string })[];
    }
  ).responses;
}

const unmanaged = (detail: string): TwinstreamError =>
  new TwinstreamError(
    "BROKER_NO_ACCOUNTS",
    `the MQTT broker's accounts cannot be managed from here (${detail}): that takes Mosquitto with its dynamic security plugin, and the plugin's control user in MQTT_ADMIN_URL. Elsewhere make the account with the broker's own tools`,
  );
