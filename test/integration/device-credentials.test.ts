/** Device credentials with a real broker and a real database, by the command line, with clients that log in as devices do. */
import { readFile } from "node:fs/promises";
import type { MqttClient } from "mqtt";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createCommandLink } from "../../src/adapters/mqtt/command-link.js";
import { loadConfig } from "../../src/config.js";
import { openCredentials } from "../../src/main/credentials.js";
import { createKeeper } from "../../src/pipeline/credentials-keeper.js";
import { openDatabase, type TestDatabase } from "../support/database.js";
import {
  type LogIn,
  loggedIn,
  logIn,
  mayPublish,
  maySubscribe,
} from "../support/device-log-in.js";
import { createMemoryObserver } from "../support/memory-readers.js";
import { runCommand } from "../support/roles.js";
import { type Stack, startOwnStack } from "../support/services.js";
import { until, within } from "../support/wait.js";

const test = suite("device credentials with a real broker");

interface Ground {
  readonly env: Readonly<Record<string, string>>;
  readonly url: string;
  readonly database: TestDatabase;
  readonly stack: Stack;
  /** `twinstream devices …`; answers what it printed. @throws when it fails */
  devices(...args: string[]): Promise<string>;
  /** `devices add|rotate … --json`, as what a device is to log in with. */
  issue(...args: string[]): Promise<LogIn>;
}

/** One for all tests of the file, each with devices of its own; the last one closes it. */
let opened: Promise<Ground & { close(): Promise<void> }> | undefined;

async function withGround(
  work: (ground: Ground) => Promise<void>,
): Promise<void> {
  opened ??= openGround();
  await work(await opened);
}

async function openGround(): Promise<Ground & { close(): Promise<void> }> {
  const stack = await startOwnStack(["mqtt"], { logIn: true });
  const database = await openDatabase({ extension: "never" });
  await database.admin.query(
    "INSERT INTO tenants (tenant_id) VALUES ('acme'), ('rival')",
  );
  const env = { ...stack.env, DATABASE_URL: database.url };
  const devices = async (...args: string[]) => {
    const { code, output } = await runCommand(["devices", ...args], env);
    if (code !== 0) throw new Error(`exit ${code}: ${output}`);
    return output;
  };
  await devices("init");
  return {
    env,
    url: stack.env["MQTT_URL"]!,
    database,
    stack,
    devices,
    async issue(...args) {
      const output = await devices(...args, "--json");
      const line = output.split("\n").find((one) => /"password"/.test(one));
      const { username, password, client_id } = JSON.parse(line ?? "") as {
        username: string;
        password: string;
        client_id: string;
      };
      return { username, password, clientId: client_id };
    },
    async close() {
      await database.drop();
      await stack.stop();
    },
  };
}

/** Of these topics those that the device may publish on, each tried with a connection of its own. */
async function publishes(
  url: string,
  as: LogIn,
  topics: readonly string[],
): Promise<string[]> {
  const allowed: string[] = [];
  for (const topic of topics)
    if (await loggedIn(url, as, (client) => mayPublish(client, topic)))
      allowed.push(topic);
  return allowed;
}

async function subscribes(
  url: string,
  as: LogIn,
  filters: readonly string[],
): Promise<string[]> {
  const allowed: string[] = [];
  await loggedIn(url, as, async (client) => {
    for (const filter of filters)
      if (await maySubscribe(client, filter)) allowed.push(filter);
  });
  return allowed;
}

/** With MQTT 5 a client that lost its session is told why: 152 is an administrator's act. */
const thrownOut = (client: MqttClient): Promise<number | undefined> =>
  within(
    10_000,
    new Promise((resolve) =>
      client.once("disconnect", ({ reasonCode }) => resolve(reasonCode)),
    ),
    "the broker to close the session",
  );

test("a device speaks and hears on its own topics and on no others', from its first log-in to its revocation", () =>
  withGround(async ({ url, devices, issue, database, stack, env }) => {
    const one = await issue("add", "dev-1");
    const acme = await issue(
      "add",
      "press",
      "--tenant",
      "acme",
      "--site",
      "lisbon",
    );
    await issue("add", "press", "--tenant", "rival", "--site", "lisbon");
    await issue("add", "dev-2");
    assert.is(one.username, "dev-1~1");
    assert.is(acme.username, "acme~press~1");

    // Without its own password, under another's client id, or as nobody it does not come in.
    assert.is(await logIn(url, { ...one, password: "guess" }), 135);
    for (const clientId of ["dev-2", "bridge-1", ""])
      assert.is(await logIn(url, { ...one, clientId }), 135, clientId);
    assert.is(
      await logIn(url, { username: "", password: "", clientId: "x" }),
      135,
    );

    const flat = (id: string) =>
      ["data", "hello", "ack", "commands"].map(
        (kind) => `devices/${id}/${kind}`,
      );
    const tenants = (tenant: string, site: string, id: string) =>
      ["telem", "event", "state", "ack", "cmd"].map(
        (kind) => `traksense/${tenant}/${site}/${id}/${kind}`,
      );
    const topics = [
      ...flat("dev-1"),
      ...flat("dev-2"),
      "devices/dev-1",
      "devices/dev-1/data/more",
      ...tenants("acme", "lisbon", "press"),
      ...tenants("acme", "porto", "press"),
      ...tenants("acme", "lisbon", "drill"),
      ...tenants("rival", "lisbon", "press"),
      ...tenants("default", "lisbon", "dev-1"),
      "twinstream/check/x",
      "$CONTROL/dynamic-security/v1",
      "anything",
    ];
    const filters = [
      ...topics,
      "#",
      "+/#",
      "devices/#",
      "devices/+/commands",
      "devices/dev-1/#",
      "devices/dev-1/+",
      "traksense/#",
      "traksense/acme/#",
      "traksense/acme/+/press/cmd",
      "traksense/+/lisbon/press/cmd",
      "$share/g/#",
      "$share/g/devices/dev-1/commands",
      "$share/g/devices/dev-2/commands",
      "$SYS/#",
      "$CONTROL/#",
    ];
    assert.equal(await publishes(url, one, topics), [
      "devices/dev-1/data",
      "devices/dev-1/hello",
      "devices/dev-1/ack",
    ]);
    assert.equal(await subscribes(url, one, filters), [
      "devices/dev-1/commands",
    ]);
    assert.equal(
      await publishes(url, acme, topics),
      ["telem", "event", "state", "ack"].map(
        (kind) => `traksense/acme/lisbon/press/${kind}`,
      ),
    );
    assert.equal(await subscribes(url, acme, filters), [
      "traksense/acme/lisbon/press/cmd",
    ]);

    // A rotation: both work, under one client id, so that the session and what waits in it stay.
    const two = await issue("rotate", "dev-1");
    assert.is(two.username, "dev-1~2");
    assert.is(two.clientId, one.clientId);
    await loggedIn(url, one, async (client) =>
      assert.ok(await mayPublish(client, "devices/dev-1/data")),
    );
    await loggedIn(url, two, async (client) => {
      assert.ok(await mayPublish(client, "devices/dev-1/data"));
      // Ending the first leaves the session of the second alone.
      await devices("revoke", "dev-1", "--username", one.username);
      assert.is(await logIn(url, one), 135);
      assert.ok(await mayPublish(client, "devices/dev-1/data"));
      const told = thrownOut(client);
      assert.match(await devices("revoke", "dev-1"), "dev-1~2 is revoked");
      assert.is(await told, 152);
    });
    assert.is(await logIn(url, two), 135);

    // The book has who and when; no password is in it, nor in the broker's file.
    const { rows } = await database.admin.query<{ row: string }>(
      "SELECT row_to_json(c)::text AS row FROM device_credentials c",
    );
    const kept = rows.map(({ row }) => row).join("\n");
    const file = await readFile(await accountsFile(stack), "utf8");
    assert.match(file, "acme~press~1");
    for (const { password } of [one, two, acme])
      for (const text of [kept, file]) assert.not.match(text, password);
    const listed = await devices("list", "--all");
    assert.match(listed, /acme +press +acme~press~1 +active/);
    assert.match(listed, /default +dev-1 +dev-1~2 +revoked/);

    // What cannot be done is said, with what to do.
    const refused = async (
      args: string[],
      more: Record<string, string> = {},
    ) => {
      const { code, output } = await runCommand(["devices", ...args], {
        ...env,
        ...more,
      });
      assert.is(code, 1, output);
      return output;
    };
    assert.match(
      await refused(["add", "dev-2"]),
      "has credentials already; rotate",
    );
    assert.match(
      await refused(["add", "x", "--tenant", "acme"]),
      "give the site",
    );
    assert.match(
      await refused(["add", "x", "--tenant", "nope", "--site", "y"]),
      "there is no tenant nope",
    );
    assert.match(await refused(["revoke", "dev-1"]), "has no credentials");
    assert.match(
      await refused(["add", "x"], { MQTT_ADMIN_URL: "" }),
      "MQTT_ADMIN_URL is not set",
    );
    assert.match(
      await refused(["add", "x"], { MQTT_ADMIN_URL: url }),
      "cannot be managed from here",
    );
  }));

test("an act that died between database and broker is mended by the next, and what it left opens nothing", () =>
  withGround(async ({ env, url, issue, database }) => {
    // As a process leaves it that is killed after the broker's answer.
    const open = openCredentials(loadConfig(env), "test");
    const device = {
      tenant: "default",
      deviceId: "cut-1",
      site: null,
      by: "test",
      handsOver: false,
    };
    const [left] = await open.credentials.prepare([device]);
    await open.close();
    await loggedIn(url, left!, async () => undefined);
    const issued = await issue("add", "cut-1");
    assert.is(issued.username, "cut-1~2");
    assert.is(await logIn(url, left!), 135);
    await loggedIn(url, issued, async () => undefined);
    const { rows } = await database.admin.query<{
      username: string;
      state: string;
    }>(
      "SELECT username, state FROM device_credentials WHERE device_id = 'cut-1' ORDER BY username",
    );
    assert.equal(
      rows.map(({ username, state }) => `${username} ${state}`),
      ["cut-1~1 revoked", "cut-1~2 active"],
    );
  }));

test("a password that is due is handed to a device that takes part, over its own topic alone", () =>
  withGround(async ({ env, url, issue, database, devices }) => {
    const observer = createMemoryObserver();
    const config = loadConfig(env);
    const open = openCredentials(config, "test");
    const link = createCommandLink({
      url,
      name: "test",
      prefix: "traksense",
      observer,
    });
    const keeper = createKeeper({
      ...open,
      link,
      observer,
      clock: Date.now,
      newId: () => "hand-over-1",
    });
    try {
      await until(() => link.connected(), {
        withinMs: 10_000,
        what: "the command link",
      });
      const first = await issue("add", "self-1", "--rotates-itself");
      await issue("add", "self-2");
      assert.not.match(await devices("list", "--due"), "self-1");
      await database.admin.query(
        "UPDATE device_credentials SET expires_at = now() + interval '6 days'",
      );
      assert.match(await devices("list", "--due"), "self-1~1");

      const client = (await logIn(url, first)) as MqttClient;
      await client.subscribeAsync("devices/self-1/commands", { qos: 1 });
      const heard = new Promise<[string, Buffer]>((resolve) =>
        client.once("message", (topic, bytes) => resolve([topic, bytes])),
      );
      assert.ok(await keeper.look());
      const [topic, payload] = await within(10_000, heard, "the hand-over");
      await client.endAsync(true);
      assert.is(topic, "devices/self-1/commands");
      const command = JSON.parse(payload.toString()) as {
        op: string;
        cmd_id: string;
        params: { username: string; password: string; client_id: string };
      };
      assert.is(command.op, "rotate_credentials");
      const next = {
        username: command.params.username,
        password: command.params.password,
        clientId: command.params.client_id,
      };
      await loggedIn(url, next, async (as) => {
        assert.ok(await mayPublish(as, "devices/self-1/ack"));
      });
      await database.admin.query(
        `INSERT INTO cmd_ack (tenant_id, device_id, cmd_id, ok, ts_exec, hash, late, known, received_at)
         VALUES ('default', 'self-1', $1, true, now(), '', false, false, now())`,
        [command.cmd_id],
      );
      await keeper.look();
      assert.match(await devices("list", "self-1"), /self-1~1 +retiring until/);
      await loggedIn(url, first, async () => undefined);
      await database.admin.query(
        "UPDATE device_credentials SET ends_at = now() - interval '1 second' WHERE state = 'retiring'",
      );
      await keeper.look();
      assert.is(await logIn(url, first), 135);
      await loggedIn(url, next, async () => undefined);
      assert.equal(
        observer.events.flatMap((event) =>
          event.type === "device_credentials"
            ? `${event.act} ${event.username}`
            : [],
        ),
        ["offered self-1~2", "taken self-1~2", "ended self-1~1"],
      );
      assert.not.match(JSON.stringify(observer.events), next.password);
      const { rows } = await database.admin.query<{ n: number }>(
        "SELECT count(*)::integer AS n FROM commands",
      );
      assert.is(rows[0]!.n, 0);
    } finally {
      await link.close();
      await open.close();
    }
  }));

test("accounts survive the broker's restart, and those it has lost are told of (closes the ground)", () =>
  withGround(async ({ url, stack, devices, issue }) => {
    try {
      const issued = await issue("add", "kept-1");
      await stack.services.mqtt.stop();
      await stack.services.mqtt.start();
      await loggedIn(url, issued, async () => undefined);
      await stack.services.mqtt.wipe();
      await stack.services.mqtt.start();
      assert.is(await logIn(url, issued), 135);
      assert.match(await devices("list"), "lost by the broker: rotate it");
      await loggedIn(
        url,
        await issue("rotate", "kept-1"),
        async () => undefined,
      );
    } finally {
      await (await opened)?.close();
    }
  }));

async function accountsFile(stack: Stack): Promise<string> {
  const command = await readFile(
    `/proc/${stack.services.mqtt.pid}/cmdline`,
    "utf8",
  );
  const settings = await readFile(command.split("\0")[2]!, "utf8");
  return /^plugin_opt_config_file (.*)$/m.exec(settings)![1]!;
}

test.run();
