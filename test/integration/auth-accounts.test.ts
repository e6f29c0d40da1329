/** Users, attempts and refresh tokens in the real database, and what each role may see of them. */
import { randomBytes } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type Accounts,
  createAccounts,
} from "../../src/adapters/timescale/accounts.js";
import {
  type AccountsAdmin,
  createAccountsAdmin,
} from "../../src/adapters/timescale/accounts-admin.js";
import { type TestDatabase, withDatabase } from "../support/database.js";
import { until } from "../support/wait.js";

const test = suite("users in the database");

interface Rig extends TestDatabase {
  readonly accounts: Accounts;
  readonly users: AccountsAdmin;
}

async function withAccounts(work: (rig: Rig) => Promise<void>): Promise<void> {
  await withDatabase({ extension: "never" }, async (database) => {
    const { url } = database;
    const accounts = createAccounts({ url, name: "test", poolMax: 8 });
    const users = createAccountsAdmin(url);
    try {
      for (const [username, tenant] of [
        ["ana", "acme"],
        ["gus", "globex"],
      ] as const)
        assert.ok(await users.add({ username, tenant, role: "viewer" }, "h"));
      await work({ ...database, accounts, users });
    } finally {
      await accounts.close();
      await users.close();
    }
  });
}

const newHash = () => randomBytes(32);
const inAWeek = () => Date.now() + 7 * 86_400_000;

test("a name is locked out after five failures, known or not, and for longer each time", () =>
  withAccounts(async ({ accounts, admin, users }) => {
    for (const name of ["ana", "no such user"]) {
      for (let n = 1; n <= 5; n++)
        assert.is((await accounts.attempt(name)).lockedOut, false, `${n}`);
      const sixth = await accounts.attempt(name);
      assert.is(sixth.lockedOut, true);
      assert.is(sixth.account === null, name !== "ana");
    }
    // Time goes on, as far as the database is concerned.
    const pass = (text: string) =>
      admin.query(
        `UPDATE login_attempts SET locked_until = locked_until - interval '${text}', last_at = last_at - interval '${text}'`,
      );
    const waits: number[] = [];
    for (let n = 0; n < 12; n++) {
      await pass("901 s");
      assert.is((await accounts.attempt("ana")).lockedOut, false);
      const { rows } = await admin.query<{ s: string }>(
        "SELECT extract(epoch FROM locked_until - last_at) AS s FROM login_attempts WHERE username = 'ana'",
      );
      waits.push(Math.round(Number(rows[0]?.s)));
    }
    assert.equal(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
    assert.ok((await users.list())[0]?.lockedUntil);
    await pass("2 days");
    for (let n = 1; n <= 4; n++)
      assert.is((await accounts.attempt("ana")).lockedOut, false, "anew");
    await accounts.begin("ana", newHash(), inAWeek());
    const { rows } = await admin.query(
      "SELECT FROM login_attempts WHERE username = 'ana'",
    );
    assert.is(rows.length, 0, "a log-in forgets what failed before");
  }));

test("attempts at the same time do not get around the lock-out", () =>
  withAccounts(async ({ accounts }) => {
    const all = await Promise.all(
      Array.from({ length: 40 }, () => accounts.attempt("ana")),
    );
    assert.is(all.filter(({ lockedOut }) => !lockedOut).length, 5);
    await until(async () => !(await accounts.attempt("ana")).lockedOut, {
      withinMs: 10_000,
      what: "the lock-out of a second to end",
    });
  }));

test("a token rotates once; spent again it kills its family, and no other", () =>
  withAccounts(async ({ accounts, admin }) => {
    const [first, second, third, other] = [
      newHash(),
      newHash(),
      newHash(),
      newHash(),
    ];
    await accounts.begin("ana", first, inAWeek());
    await accounts.begin("ana", other, inAWeek());
    const user = { username: "ana", tenant: "acme", role: "viewer" };
    assert.equal(await accounts.rotate(first, second, inAWeek()), {
      state: "rotated",
      user,
    });
    assert.is(
      (await accounts.rotate(second, third, inAWeek())).state,
      "rotated",
    );
    assert.is(
      (await accounts.rotate(first, newHash(), inAWeek())).state,
      "reused",
    );
    assert.is(
      (await accounts.rotate(third, newHash(), inAWeek())).state,
      "ended",
    );
    assert.is(
      (await accounts.rotate(other, newHash(), inAWeek())).state,
      "rotated",
    );
    assert.is(
      (await accounts.rotate(newHash(), newHash(), inAWeek())).state,
      "unknown",
    );
    const { rows } = await admin.query<{ text: string }>(
      "SELECT row_to_json(t)::text AS text FROM refresh_tokens t",
    );
    assert.ok(
      rows.every(({ text }) => /\\\\x[0-9a-f]{64}/.test(text)),
      "hashes only",
    );
  }));

test("one token used by two at the same moment leaves neither a session", () =>
  withAccounts(async ({ accounts }) => {
    for (let round = 0; round < 10; round++) {
      const [stolen, a, b] = [newHash(), newHash(), newHash()];
      await accounts.begin("ana", stolen, inAWeek());
      const states = await Promise.all([
        accounts.rotate(stolen, a, inAWeek()),
        accounts.rotate(stolen, b, inAWeek()),
      ]);
      assert.equal(states.map(({ state }) => state).toSorted(), [
        "reused",
        "rotated",
      ]);
      const after = await Promise.all([
        accounts.rotate(a, newHash(), inAWeek()),
        accounts.rotate(b, newHash(), inAWeek()),
      ]);
      assert.equal(after.map(({ state }) => state).toSorted(), [
        "ended",
        "unknown",
      ]);
    }
  }));

test("an expired token is no token, and log-out ends only one's own", () =>
  withAccounts(async ({ accounts }) => {
    const [old, mine] = [newHash(), newHash()];
    await accounts.begin("ana", old, Date.now() - 1000);
    assert.is(
      (await accounts.rotate(old, newHash(), inAWeek())).state,
      "unknown",
    );
    await accounts.begin("ana", mine, inAWeek());
    assert.is(await accounts.end("gus", mine), false);
    assert.is(await accounts.end("ana", newHash()), false);
    assert.is(await accounts.end("ana", mine), true);
    assert.is(
      (await accounts.rotate(mine, newHash(), inAWeek())).state,
      "ended",
    );
  }));

test("a new password and a disabled user end sessions; users are added once", () =>
  withAccounts(async ({ accounts, users }) => {
    const [one, two] = [newHash(), newHash()];
    await accounts.begin("ana", one, inAWeek());
    assert.ok(await users.setPassword("ana", "h2"));
    assert.is(
      (await accounts.rotate(one, newHash(), inAWeek())).state,
      "unknown",
    );
    assert.is((await accounts.attempt("ana")).account?.passwordHash, "h2");
    await accounts.begin("ana", two, inAWeek());
    assert.ok(await users.setDisabled("ana", true));
    assert.is(
      (await accounts.rotate(two, newHash(), inAWeek())).state,
      "unknown",
    );
    assert.is((await accounts.attempt("ana")).account?.disabled, true);
    assert.is(await users.setPassword("nobody", "h"), false);
    const again = { username: "ana", tenant: "other", role: "admin" } as const;
    assert.is(await users.add(again, "h3"), false);
    assert.is(
      await users.add({ ...again, username: "root" }, "h", true),
      false,
    );
    assert.equal(
      (await users.list()).map((user) => [
        user.username,
        user.tenant,
        user.disabled,
      ]),
      [
        ["ana", "acme", true],
        ["gus", "globex", false],
      ],
    );
  }));

test("each role sees what it needs: no hashes at large, no other tenant, no tokens", () =>
  withAccounts(async ({ accounts, admin }) => {
    await accounts.begin("ana", newHash(), inAWeek());
    const as = async (role: string, tenant: string, statement: string) => {
      await admin.query("BEGIN");
      try {
        await admin.query(`SET LOCAL ROLE ${role}`);
        await admin.query("SELECT set_config('app.tenant_id', $1, true)", [
          tenant,
        ]);
        return (await admin.query<Record<string, unknown>>(statement)).rows;
      } finally {
        await admin.query("ROLLBACK");
      }
    };
    const denied = async (role: string, statement: string) => {
      let code = "";
      try {
        await as(role, "acme", statement);
      } catch (error) {
        code = (error as { code: string }).code;
      }
      assert.is(code, "42501", `${role}: ${statement}`);
    };
    const names = "SELECT username FROM users ORDER BY 1";
    assert.equal(await as("twinstream_reader", "acme", names), [
      { username: "ana" },
    ]);
    assert.equal(await as("twinstream_reader", "", names), []);
    assert.is((await as("twinstream_operator", "", names)).length, 2);
    const lookup = "SELECT password_hash FROM auth_lookup('gus')";
    assert.equal(await as("twinstream_gateway", "", lookup), [
      { password_hash: "h" },
    ]);
    for (const role of ["reader", "gateway", "operator", "writer"])
      await denied(`twinstream_${role}`, "SELECT password_hash FROM users");
    for (const role of ["reader", "operator", "writer"]) {
      await denied(`twinstream_${role}`, lookup);
      for (const table of [
        "refresh_tokens",
        "refresh_families",
        "login_attempts",
      ])
        await denied(`twinstream_${role}`, `SELECT FROM ${table}`);
    }
    for (const statement of [
      "UPDATE users SET role = 'admin'",
      "DELETE FROM users",
      "INSERT INTO users (username, tenant_id, role, password_hash) VALUES ('x', 'acme', 'admin', 'h')",
    ])
      await denied("twinstream_gateway", statement);
  }));

test.run();
