/** What every LiveFeed and every TicketStore do, in memory or over Redis. */
import { randomBytes } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  address,
  PRESENCE_CHANNEL,
  updatesChannel,
} from "../../src/domain/names.js";
import type { LiveFeed, TicketStore } from "../../src/ports.js";
import { until } from "../support/wait.js";

export interface FeedUnderTest {
  readonly feed: LiveFeed;
  publish(channel: string, message: string): Promise<void>;
  /** Breaks the connection; answers when nothing can be watched any more. */
  breakOff(): Promise<void>;
  /** Lets it come back. */
  comeBack(): Promise<void>;
}

const unique = (name: string): string =>
  `${name}-${randomBytes(6).toString("hex")}`;

export function liveFeedSuite(
  where: string,
  withFeed: (work: (under: FeedUnderTest) => Promise<void>) => Promise<void>,
) {
  const test = suite(`live feed ${where}`);

  interface Heard {
    readonly updates: string[];
    readonly presence: string[];
    readonly gaps: [number, number][];
  }
  const heardBy = (feed: LiveFeed): Heard => {
    const heard: Heard = { updates: [], presence: [], gaps: [] };
    feed.listen({
      update: (at, message, watched) =>
        heard.updates.push(`${watched} ${at} ${message.toString()}`),
      presence: (message) => heard.presence.push(message.toString()),
      gap: (fromMs, toMs) => heard.gaps.push([fromMs, toMs]),
    });
    return heard;
  };
  const arrived = (check: () => boolean): Promise<boolean> =>
    until(check, { withinMs: 5000, what: "what was published" });

  test("what is watched comes, as it was published, and nothing else", () =>
    withFeed(async ({ feed, publish }) => {
      const heard = heardBy(feed);
      const [flat, other] = [unique("dev"), unique("dev")];
      const ofTenant = address(unique("acme"), unique("dev"));
      await feed.watchDevices([flat, ofTenant]);
      await publish(updatesChannel(other), "no");
      await publish(updatesChannel(flat), '{"a":"7.3 °C\\n ❄"}');
      await publish(updatesChannel(ofTenant), "{}");
      await arrived(() => heard.updates.length >= 2);
      assert.equal(heard.updates, [
        `device ${flat} {"a":"7.3 °C\\n ❄"}`,
        `device ${ofTenant} {}`,
      ]);
    }));

  test("a whole tenant is watched with devices that come later, and no other tenant's", () =>
    withFeed(async ({ feed, publish }) => {
      const heard = heardBy(feed);
      const [acme, acmes] = [unique("acme"), unique("acme")];
      await feed.watchTenant(acme);
      const mine = address(acme, unique("dev"));
      await publish(updatesChannel(address(acmes, "dev")), "no");
      await publish(updatesChannel(unique("dev")), "no");
      await publish(updatesChannel(mine), "1");
      await arrived(() => heard.updates.length >= 1);
      assert.equal(heard.updates, [`tenant ${mine} 1`]);
    }));

  test("the default tenant's are those without a tenant in their names", () =>
    withFeed(async ({ feed, publish }) => {
      const heard = heardBy(feed);
      const mine = unique("dev");
      await feed.watchTenant("default");
      await publish(updatesChannel(address(unique("acme"), mine)), "no");
      await publish(updatesChannel(mine), "1");
      const ours = () => heard.updates.filter((text) => text.includes(mine));
      await arrived(() => ours().length >= 1);
      assert.equal(ours(), [`tenant ${mine} 1`]);
    }));

  test("many tenants at a time each come once", () =>
    withFeed(async ({ feed, publish }) => {
      const heard = heardBy(feed);
      const tenants = Array.from({ length: 40 }, () => unique("acme"));
      for (const tenant of ["default", ...tenants])
        await feed.watchTenant(tenant);
      for (const tenant of tenants)
        await publish(updatesChannel(address(tenant, "dev")), "1");
      await arrived(() => heard.updates.length >= 40);
      for (const tenant of tenants) feed.unwatchTenant(tenant);
      const mine = unique("dev");
      await publish(updatesChannel(mine), "1");
      await arrived(() => heard.updates.at(-1) === `tenant ${mine} 1`);
      const ours = heard.updates.filter((text) =>
        tenants.some((tenant) => text.includes(tenant)),
      );
      assert.equal(
        ours,
        tenants.map((tenant) => `tenant ${address(tenant, "dev")} 1`),
      );
    }));

  test("a device watched by itself and with its tenant comes once for each", () =>
    withFeed(async ({ feed, publish }) => {
      const heard = heardBy(feed);
      const acme = unique("acme");
      const mine = address(acme, "dev");
      await feed.watchTenant(acme);
      await feed.watchDevices([mine]);
      await publish(updatesChannel(mine), "1");
      await arrived(() => heard.updates.length >= 2);
      assert.equal(heard.updates.toSorted(), [
        `device ${mine} 1`,
        `tenant ${mine} 1`,
      ]);
      feed.unwatchTenant(acme);
      await publish(updatesChannel(mine), "2");
      await arrived(() => heard.updates.length >= 3);
      assert.is(heard.updates[2], `device ${mine} 2`);
    }));

  test("presence comes as soon as anything is watched", () =>
    withFeed(async ({ feed, publish }) => {
      const heard = heardBy(feed);
      await feed.watchDevices([unique("dev")]);
      const text = JSON.stringify({ device_id: unique("dev"), online: true });
      await publish(PRESENCE_CHANNEL, text);
      await arrived(() => heard.presence.includes(text));
    }));

  test("what is watched no more does not come", () =>
    withFeed(async ({ feed, publish }) => {
      const heard = heardBy(feed);
      const [gone, kept] = [unique("dev"), unique("dev")];
      await feed.watchDevices([gone, kept]);
      feed.unwatchDevices([gone]);
      await publish(updatesChannel(gone), "no");
      await publish(updatesChannel(kept), "1");
      await arrived(() => heard.updates.length >= 1);
      assert.equal(heard.updates, [`device ${kept} 1`]);
      await feed.watchDevices([gone]);
      await publish(updatesChannel(gone), "2");
      await arrived(() => heard.updates.length >= 2);
    }));

  test("settled is when all that was published before has come", () =>
    withFeed(async ({ feed, publish }) => {
      const heard = heardBy(feed);
      const mine = unique("dev");
      await feed.watchDevices([mine]);
      for (let i = 0; i < 100; i++) await publish(updatesChannel(mine), `${i}`);
      await feed.settled();
      assert.is(heard.updates.length, 100);
    }));

  test("after a break all of it comes again, and the gap is told", () =>
    withFeed(async ({ feed, publish, breakOff, comeBack }) => {
      const heard = heardBy(feed);
      const acme = unique("acme");
      const [flat, mine] = [unique("dev"), address(acme, "dev")];
      await feed.watchDevices([flat]);
      await feed.watchTenant(acme);
      const beforeMs = Date.now();
      await breakOff();
      await comeBack();
      await arrived(() => heard.gaps.length >= 1);
      const [[fromMs, toMs]] = heard.gaps as [[number, number]];
      assert.ok(fromMs <= beforeMs + 2000 && toMs >= beforeMs, "the gap");
      await publish(updatesChannel(flat), "1");
      await publish(updatesChannel(mine), "2");
      await arrived(() => heard.updates.length >= 2);
      assert.equal(heard.updates, [`device ${flat} 1`, `tenant ${mine} 2`]);
      assert.is(heard.gaps.length, 1);
    }));

  return test;
}

export function ticketSuite(
  where: string,
  withTickets: (work: (tickets: TicketStore) => Promise<void>) => Promise<void>,
) {
  const test = suite(`tickets ${where}`);
  const holder = {
    username: "ana",
    tenant: "acme",
    role: "viewer",
    untilMs: 1_763_600_000_123,
  } as const;

  test("a ticket is good once, and only for so long", () =>
    withTickets(async (tickets) => {
      const hash = randomBytes(32);
      assert.is(await tickets.take(hash), null);
      await tickets.put(hash, holder, 60_000);
      assert.equal(await tickets.take(hash), holder);
      assert.is(await tickets.take(hash), null);
      await tickets.put(hash, holder, 1);
      await until(() => Date.now() % 5 === 0, { withinMs: 1000, what: "5 ms" });
      await until(async () => (await tickets.take(hash)) === null, {
        withinMs: 1000,
        what: "its end",
      });
    }));

  test("of two that bring the same ticket one is let in", () =>
    withTickets(async (tickets) => {
      const hash = randomBytes(32);
      await tickets.put(hash, holder, 60_000);
      const taken = await Promise.all([tickets.take(hash), tickets.take(hash)]);
      assert.is(taken.filter((one) => one !== null).length, 1);
    }));

  return test;
}
