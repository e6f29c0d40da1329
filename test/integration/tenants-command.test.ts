/** `twinstream tenants` on a real database: who is taken in, and whose users get in. */
import { randomBytes } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createAccounts } from "../../src/adapters/timescale/accounts.js";
import { createAccountsAdmin } from "../../src/adapters/timescale/accounts-admin.js";
import type { ListedTenant } from "../../src/adapters/timescale/tenants-admin.js";
import { createTelemetryStore } from "../../src/adapters/timescale/telemetry-store.js";
import { withDatabase } from "../support/database.js";
import { runCommand } from "../support/roles.js";

const test = suite("twinstream tenants");
const WEEK_MS = 7 * 86_400_000;

test("tenants are added, listed, disabled and enabled, and each act is told and audited", () =>
  withDatabase({ extension: "never" }, async ({ url }) => {
    const run = (...args: string[]) =>
      runCommand(["tenants", ...args], { DATABASE_URL: url });
    const pool = { url, name: "test", poolMin: 0, poolMax: 1 };
    const store = createTelemetryStore(pool);
    const accounts = createAccounts(pool);
    const users = createAccountsAdmin(url);
    try {
      const added = await run("add", "acme", "--name", "Acme Refrigeration");
      assert.is(added.code, 0, added.output);
      assert.match(added.output, "added acme");
      assert.match(
        added.output,
        /"act":"tenants add".*"tenant":"acme".*"outcome":"ok"/,
      );
      const again = await run("add", "acme");
      assert.is(again.code, 1);
      assert.match(again.output, "there is a tenant acme already");
      assert.match(again.output, '"outcome":"refused"');
      assert.is((await run("add", "a/b")).code, 1);
      assert.equal(
        [...(await store.tenants())].toSorted(),
        ["acme", "default"],
        "taken in",
      );

      const ana = { username: "ana", tenant: "acme", role: "viewer" } as const;
      await users.add(ana, "hash");
      const session = randomBytes(32);
      await accounts.begin("ana", session, Date.now() + WEEK_MS);
      const unknown = await run("disable", "nobody");
      assert.is(unknown.code, 1);
      assert.match(unknown.output, "there is no tenant nobody");

      for (const _ of ["once", "twice"]) {
        const disabled = await run("disable", "acme", "--json");
        assert.is(disabled.code, 0, disabled.output);
        assert.match(disabled.output, '{"tenant":"acme","disabled":true}');
      }
      assert.equal([...(await store.tenants())], ["default"]);
      assert.is((await accounts.attempt("ana")).account?.disabled, true);
      const next = randomBytes(32);
      const refresh = () =>
        accounts.rotate(session, next, Date.now() + WEEK_MS);
      assert.is((await refresh()).state, "unknown", "its sessions are ended");
      const listed = await run("list", "--json");
      const [acme] = JSON.parse(listed.output) as ListedTenant[];
      assert.ok(acme?.disabledAt);
      assert.equal(
        { ...acme, createdAt: "", disabledAt: "" },
        {
          tenant: "acme",
          name: "Acme Refrigeration",
          createdAt: "",
          disabledAt: "",
          devices: 0,
          users: 1,
        },
      );
      assert.match((await run()).output, /acme +disabled 2.* 1 users/);

      assert.is((await run("enable", "acme")).code, 0);
      assert.is((await accounts.attempt("ana")).account?.disabled, false);
      assert.ok((await store.tenants()).has("acme"));
      assert.match((await run()).output, /acme +active/);
    } finally {
      await Promise.all([store.close(), accounts.close(), users.close()]);
    }
  }));

test("a session that began while its tenant was being disabled is not refreshed", () =>
  withDatabase({ extension: "never" }, async ({ url, admin }) => {
    const accounts = createAccounts({ url, name: "test", poolMax: 1 });
    const users = createAccountsAdmin(url);
    try {
      await users.add(
        { username: "ana", tenant: "acme", role: "admin" },
        "hash",
      );
      await admin.query(
        "UPDATE tenants SET disabled_at = now() WHERE tenant_id = 'acme'",
      );
      const token = randomBytes(32);
      await accounts.begin("ana", token, Date.now() + WEEK_MS);
      const { state } = await accounts.rotate(
        token,
        randomBytes(32),
        Date.now() + WEEK_MS,
      );
      assert.is(state, "ended");
    } finally {
      await Promise.all([accounts.close(), users.close()]);
    }
  }));

test.run();
