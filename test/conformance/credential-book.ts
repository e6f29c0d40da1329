/** What every book of device credentials does alike. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import type { CredentialBook } from "../../src/ports.js";

export interface BookGround {
  /** Knows the tenants `default` and `acme`. */
  readonly book: CredentialBook;
  /** A device of tenant `default` acknowledges a command. */
  acknowledge(deviceId: string, cmdId: string, ok: boolean): Promise<void>;
}

const DAY = 86_400_000;

export function credentialBookSuite(
  name: string,
  withGround: (work: (ground: BookGround) => Promise<void>) => Promise<void>,
): void {
  const test = suite(`credential book: ${name}`);
  const device = (deviceId: string, tenant = "default") => ({
    tenant,
    deviceId,
    site: tenant === "default" ? null : "lisbon",
    by: "ana",
    handsOver: false,
  });

  test("a credential's life, each step from the states it may begin at and no other", () =>
    withGround(async ({ book, acknowledge }) => {
      const nowMs = Date.now();
      const state = async (username: string) => {
        const all = [
          ...(await book.find({})),
          ...(await book.find({ states: ["revoked"] })),
        ];
        return all.find((one) => one.username === username)?.state;
      };

      const begun = await book.begin([
        device("dev-1"),
        device("dev-1", "acme"),
      ]);
      assert.equal(
        begun.map((one) => [one.username, one.tenant, one.site, one.state]),
        [
          ["dev-1~1", "default", null, "adding"],
          ["acme~dev-1~1", "acme", "lisbon", "adding"],
        ],
      );
      assert.is(begun[0]!.createdBy, "ana");
      assert.ok(Math.abs(begun[0]!.createdMs - nowMs) < 60_000);

      const expiresMs = nowMs + 90 * DAY;
      const activate = (...usernames: string[]) =>
        book.activate(usernames, expiresMs, nowMs + DAY);
      assert.equal([...(await activate("dev-1~1", "nobody~1"))], ["dev-1~1"]);
      assert.equal([...(await activate("dev-1~1"))], []);
      assert.is(await state("acme~dev-1~1"), "adding");

      // The second of a device: the first retires, another tenant's device of that name does not.
      await activate("acme~dev-1~1");
      const [second] = await book.begin([device("dev-1")]);
      assert.is(second!.username, "dev-1~2");
      assert.ok(await book.offer("dev-1~2", "cmd-1", nowMs + 1000));
      assert.not(await book.offer("dev-1~2", "cmd-2", nowMs + 1000));
      const [offered] = await book.find({ states: ["offered"] });
      assert.is(offered!.cmdId, "cmd-1");
      assert.is(offered!.endsMs, nowMs + 1000);
      assert.is(await book.answer(offered!, "cmd-1"), null);
      await acknowledge("dev-1", "cmd-1", true);
      assert.is(await book.answer(offered!, "cmd-1"), true);
      await activate("dev-1~2");
      assert.is(await state("dev-1~1"), "retiring");
      assert.is(await state("acme~dev-1~1"), "active");
      const [active] = await book.find({
        deviceIds: ["dev-1"],
        states: ["active"],
        tenant: "default",
      });
      assert.is(active!.expiresMs, expiresMs);
      assert.is(active!.endsMs, null);

      const names = async (filter: Parameters<typeof book.find>[0]) =>
        (await book.find(filter)).map(({ username }) => username);
      assert.equal(await names({ endsBeforeMs: nowMs + DAY + 1 }), ["dev-1~1"]);
      assert.equal(await names({ endsBeforeMs: nowMs + DAY }), []);
      assert.equal(
        await names({
          states: ["active"],
          expiresBeforeMs: expiresMs + 1,
          tenant: "acme",
        }),
        ["acme~dev-1~1"],
      );
      assert.equal(
        await names({ expiresBeforeMs: expiresMs, tenant: "acme" }),
        [],
      );
      assert.equal(await names({ createdBeforeMs: nowMs - DAY }), []);

      await book.revoked(["dev-1~1"]);
      assert.is(await state("dev-1~1"), "retiring");
      await book.revoking(["dev-1~1", "dev-1~2"], "ana");
      await book.revoked(["dev-1~1", "dev-1~2"]);
      await book.revoking(["dev-1~1"], "ana");
      assert.is(await state("dev-1~1"), "revoked");
      assert.equal(await names({ tenant: "default" }), []);
      // A user name means one password for ever.
      const [third] = await book.begin([device("dev-1")]);
      assert.is(third!.username, "dev-1~3");
    }));

  test("devices that begin at the same time get different user names", () =>
    withGround(async ({ book }) => {
      const begun = await Promise.all(
        [1, 2, 3].map(() => book.begin([device("dev-2"), device("dev-3")])),
      );
      const names = begun.flat().map(({ username }) => username);
      assert.equal(names.toSorted(), [
        "dev-2~1",
        "dev-2~2",
        "dev-2~3",
        "dev-3~1",
        "dev-3~2",
        "dev-3~3",
      ]);
    }));

  test("a tenant that is not there has no devices", () =>
    withGround(async ({ book }) => {
      try {
        await book.begin([device("dev-1", "nobody")]);
        assert.unreachable();
      } catch (error) {
        assert.instance(error, TwinstreamError);
        assert.is((error as TwinstreamError).code, "NOT_FOUND");
      }
      assert.equal(await book.find({ tenant: "nobody" }), []);
    }));
  test.run();
}
