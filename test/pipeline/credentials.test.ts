/** Credentials on doubles: what each act leaves in the book and at the broker, cut off at every place. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import { createCredentials } from "../../src/pipeline/credentials.js";
import { createKeeper } from "../../src/pipeline/credentials-keeper.js";
import type { CommandRequest } from "../../src/domain/message.js";
import type { Delivery, TelemetryEvent } from "../../src/ports.js";
import {
  createMemoryBook,
  createMemoryBrokerAccounts,
} from "../support/memory-credentials.js";

const test = suite("device credentials");
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const MINUTE = 60_000;

function rig() {
  const time = { nowMs: Date.parse("2026-01-15T10:00:00Z") };
  const clock = () => time.nowMs;
  const book = createMemoryBook(clock);
  const broker = createMemoryBrokerAccounts();
  const events: TelemetryEvent[] = [];
  const sent: CommandRequest[] = [];
  let passwords = 0;
  let ids = 0;
  const credentials = createCredentials({
    book,
    broker,
    clock,
    newPassword: () => `secret-${(passwords += 1)}`,
    settings: {
      maxAgeMs: 90 * DAY,
      noticeMs: 7 * DAY,
      overlapMs: DAY,
      tenantPrefix: "traksense",
    },
  });
  const link = {
    delivery: "delivered" as Delivery | Error,
    connected: () => true,
    async send(_device: unknown, request: CommandRequest) {
      sent.push(request);
      if (link.delivery instanceof Error) throw link.delivery;
      return link.delivery;
    },
  };
  const keeper = createKeeper({
    credentials,
    book,
    link,
    observer: { emit: (event) => void events.push(event) },
    clock,
    newId: () => `cmd-${(ids += 1)}`,
  });
  const device = (deviceId: string, handsOver = false) => ({
    tenant: "default",
    deviceId,
    site: null,
    by: "ana",
    handsOver,
  });
  const states = (): string[] =>
    book.rows.map(({ username, state }) => `${username} ${state}`);
  const atBroker = (): string[] => [...broker.accounts.keys()];
  const acts = (): string[] =>
    events.flatMap((event) =>
      event.type === "device_credentials" ? event.act : [],
    );
  return {
    time,
    book,
    broker,
    events,
    sent,
    credentials,
    link,
    keeper,
    device,
    states,
    atBroker,
    acts,
  };
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    assert.instance(error, TwinstreamError);
    return (error as TwinstreamError).code;
  }
  return "none";
}

test("a device gets a user name, a client id and the right to its own topics alone", async () => {
  const { credentials, broker, device, states } = rig();
  const [issued] = await credentials.add([device("dev-1")]);
  assert.is(issued!.username, "dev-1~1");
  assert.is(issued!.password, "secret-1");
  assert.equal(states(), ["dev-1~1 active"]);
  assert.equal(broker.accounts.get("dev-1~1"), {
    username: "dev-1~1",
    password: "secret-1",
    clientId: "dev-1",
    rights: {
      publish: [
        "devices/dev-1/data",
        "devices/dev-1/hello",
        "devices/dev-1/ack",
      ],
      subscribe: ["devices/dev-1/commands"],
    },
  });
});

test("a tenant's device has its tenant and site in its topics, and needs a site", async () => {
  const { credentials, broker, device, book } = rig();
  const acme = { ...device("dev-1"), tenant: "acme" };
  assert.is(await codeOf(credentials.add([acme])), "BAD_REQUEST");
  assert.is(book.rows.length, 0);
  const [issued] = await credentials.add([{ ...acme, site: "lisbon" }]);
  assert.is(issued!.username, "acme~dev-1~1");
  assert.equal(broker.accounts.get("acme~dev-1~1")!.rights, {
    publish: ["telem", "event", "state", "ack"].map(
      (kind) => `traksense/acme/lisbon/dev-1/${kind}`,
    ),
    subscribe: ["traksense/acme/lisbon/dev-1/cmd"],
  });
  assert.is(
    await codeOf(
      credentials.add([{ ...acme, tenant: "nobody", site: "lisbon" }]),
    ),
    "NOT_FOUND",
  );
});

test("a second add is refused and changes nothing, a rotation leaves both for the overlap", async () => {
  const { credentials, device, states, atBroker, keeper, time, acts } = rig();
  await credentials.add([device("dev-1")]);
  assert.is(
    await codeOf(credentials.add([device("dev-2"), device("dev-1")])),
    "CREDENTIALS_EXIST",
  );
  assert.equal(states(), ["dev-1~1 active"]);
  const next = await credentials.rotate("default", "dev-1", "ana");
  assert.is(next.username, "dev-1~2");
  assert.is(next.clientId, "dev-1");
  assert.equal(states(), ["dev-1~1 retiring", "dev-1~2 active"]);
  time.nowMs += DAY - 1;
  await keeper.look();
  assert.equal(atBroker(), ["dev-1~1", "dev-1~2"]);
  time.nowMs += 2;
  await keeper.look();
  assert.equal(atBroker(), ["dev-1~2"]);
  assert.equal(acts(), ["ended"]);
  assert.is(
    await codeOf(credentials.rotate("default", "dev-9", "ana")),
    "CREDENTIALS_UNKNOWN",
  );
});

test("a revocation ends one user name, or all, and a device can begin anew under another", async () => {
  const { credentials, device, atBroker } = rig();
  await credentials.add([device("dev-1")]);
  await credentials.rotate("default", "dev-1", "ana");
  const revoke = (username: string | null) =>
    credentials.revoke("default", "dev-1", username, "ana");
  assert.equal(await revoke("dev-1~1"), ["dev-1~1"]);
  assert.equal(atBroker(), ["dev-1~2"]);
  assert.is(await codeOf(revoke("dev-1~1")), "CREDENTIALS_UNKNOWN");
  assert.equal(await revoke(null), ["dev-1~2"]);
  assert.equal(atBroker(), []);
  const [again] = await credentials.add([device("dev-1")]);
  assert.is(again!.username, "dev-1~3");
});

for (const place of ["before", "after"] as const) {
  test(`an add that the broker broke off ${place} it took effect is mended by the next act on the device`, async () => {
    const { credentials, broker, device, states, atBroker } = rig();
    broker.failNext = place;
    assert.is(
      await codeOf(credentials.add([device("dev-1")])),
      "BROKER_UNREACHABLE",
    );
    assert.equal(states(), ["dev-1~1 adding"]);
    await credentials.add([device("dev-1")]);
    assert.equal(states(), ["dev-1~1 revoked", "dev-1~2 active"]);
    assert.equal(atBroker(), ["dev-1~2"]);
  });

  test(`a revocation that the broker broke off ${place} it took effect is finished by the keeper`, async () => {
    const { credentials, broker, device, states, atBroker, keeper, time } =
      rig();
    await credentials.add([device("dev-1")]);
    broker.failNext = place;
    assert.is(
      await codeOf(credentials.revoke("default", "dev-1", null, "ana")),
      "BROKER_UNREACHABLE",
    );
    assert.equal(states(), ["dev-1~1 revoking"]);
    time.nowMs += 11 * MINUTE;
    await keeper.look();
    assert.equal(states(), ["dev-1~1 revoked"]);
    assert.equal(atBroker(), []);
  });
}

test("a broker whose accounts cannot be managed leaves nothing in the book", async () => {
  const { credentials, broker, device, book } = rig();
  broker.put = async () => {
    throw new TwinstreamError("BROKER_NO_ACCOUNTS");
  };
  assert.is(
    await codeOf(credentials.add([device("dev-1")])),
    "BROKER_NO_ACCOUNTS",
  );
  assert.is(book.rows.length, 0);
});

test("of an add that another took for a leftover nothing stays at the broker, and it is told", async () => {
  const { credentials, broker, device, states, atBroker, book } = rig();
  const put = broker.put;
  broker.put = async (accounts) => {
    if (accounts.length === 0) return;
    broker.put = put;
    // The other act, start to end, before ours reaches the broker.
    await credentials.add([device("dev-1")]);
    await put(accounts);
  };
  assert.is(
    await codeOf(credentials.add([device("dev-1")])),
    "CREDENTIALS_EXIST",
  );
  assert.equal(states(), ["dev-1~1 revoked", "dev-1~2 active"]);
  assert.equal(atBroker(), ["dev-1~2"]);
  assert.is(book.rows.length, 2);
});

test("what is due is told of ahead of time and again, and nothing ends by age", async () => {
  const { credentials, device, keeper, time, events, atBroker } = rig();
  await credentials.add([device("dev-1")]);
  const told = () =>
    events.flatMap((event) =>
      event.type === "device_credentials_due"
        ? [[event.due, event.overdue, event.devices.join()]]
        : [],
    );
  await keeper.look();
  time.nowMs += 84 * DAY;
  await keeper.look();
  time.nowMs += 100 * DAY;
  await keeper.look();
  assert.equal(told(), [
    [0, 0, ""],
    [1, 0, "dev-1"],
    [1, 1, "dev-1"],
  ]);
  assert.equal(atBroker(), ["dev-1~1"]);
});

test("a device that takes part is handed a new password when it is due, and the old retires once it acknowledged", async () => {
  const r = rig();
  await r.credentials.add([r.device("dev-1", true), r.device("dev-2")]);
  r.time.nowMs += 85 * DAY;
  await r.keeper.look();
  assert.equal(
    r.sent.map(({ op, params }) => ({ op, params })),
    [
      {
        op: "rotate_credentials",
        params: {
          username: "dev-1~2",
          password: "secret-3",
          client_id: "dev-1",
        },
      },
    ],
  );
  assert.equal(r.states(), [
    "dev-1~1 active",
    "dev-2~1 active",
    "dev-1~2 offered",
  ]);
  // Neither handed over twice, nor crossed by a hand.
  await r.keeper.look();
  assert.is(r.sent.length, 1);
  assert.is(
    await codeOf(r.credentials.rotate("default", "dev-1", "ana")),
    "CREDENTIALS_EXIST",
  );
  r.book.acks.set("dev-1 cmd-1", true);
  await r.keeper.look();
  assert.equal(r.states(), [
    "dev-1~1 retiring",
    "dev-2~1 active",
    "dev-1~2 active",
  ]);
  r.time.nowMs += DAY + 1;
  await r.keeper.look();
  assert.equal(r.atBroker(), ["dev-2~1", "dev-1~2"]);
  assert.equal(r.acts(), ["offered", "taken", "ended"]);
});

test("a device that refuses, or does not answer within a day, keeps the old password", async () => {
  const r = rig();
  await r.credentials.add([r.device("dev-1", true)]);
  r.time.nowMs += 85 * DAY;
  await r.keeper.look();
  r.book.acks.set("dev-1 cmd-1", false);
  await r.keeper.look();
  assert.equal(r.atBroker(), ["dev-1~1"]);
  r.time.nowMs += HOUR;
  await r.keeper.look();
  assert.equal(r.atBroker(), ["dev-1~1", "dev-1~3"]);
  r.time.nowMs += DAY + 1;
  await r.keeper.look();
  assert.equal(r.acts(), [
    "offered",
    "not_taken",
    "offered",
    "not_taken",
    "offered",
  ]);
  assert.ok(r.atBroker().includes("dev-1~1"));
});

test("where nobody hears the command the new password is taken back at once, and where that is unknown both stay", async () => {
  const r = rig();
  await r.credentials.add([r.device("dev-1", true)]);
  r.time.nowMs += 85 * DAY;
  r.link.delivery = "no_subscriber";
  await r.keeper.look();
  assert.equal(r.atBroker(), ["dev-1~1"]);
  r.time.nowMs += HOUR;
  r.link.delivery = new TwinstreamError("BROKER_UNREACHABLE");
  await r.keeper.look();
  assert.equal(r.atBroker(), ["dev-1~1", "dev-1~3"]);
  assert.ok(r.states().includes("dev-1~3 offered"));
});

test("no event carries a password", async () => {
  const r = rig();
  await r.credentials.add([r.device("dev-1", true)]);
  r.time.nowMs += 85 * DAY;
  r.link.delivery = new TwinstreamError("BROKER_UNREACHABLE");
  await r.keeper.look();
  assert.ok(r.events.length > 1);
  assert.not.match(JSON.stringify(r.events), "secret-");
});

test.run();
