/** Device credentials over HTTP, on doubles: who may, what is answered, what is audited. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createCredentials } from "../../src/pipeline/credentials.js";
import { type AuthRig, withAuth } from "../support/auth-rig.js";
import {
  type Answer,
  answerOf,
  NOW_MS,
  problemIn,
} from "../support/gateway-rig.js";
import {
  createMemoryBook,
  createMemoryBrokerAccounts,
  type MemoryAccountsAtBroker,
} from "../support/memory-credentials.js";

const test = suite("gateway: device credentials");
const HOUR_MS = 3_600_000;

interface CredentialRig extends AuthRig {
  readonly broker: MemoryAccountsAtBroker;
  ask(
    method: "GET" | "POST" | "DELETE",
    url: string,
    body?: object,
    headers?: Record<string, string>,
  ): Promise<Answer>;
}

async function withCredentials(work: (rig: CredentialRig) => Promise<void>) {
  const clock = () => NOW_MS;
  const broker = createMemoryBrokerAccounts();
  let passwords = 0;
  const credentials = createCredentials({
    book: createMemoryBook(clock),
    broker,
    clock,
    newPassword: () => `secret-${(passwords += 1)}`,
    settings: {
      maxAgeMs: 24 * HOUR_MS,
      noticeMs: HOUR_MS,
      overlapMs: 2 * HOUR_MS,
      tenantPrefix: "traksense",
    },
  });
  await withAuth(
    (rig) =>
      work({
        ...rig,
        broker,
        ask: async (method, url, body, headers = rig.as("operator")) =>
          answerOf(
            await rig.app.inject({
              method,
              url,
              headers,
              ...(body !== undefined && { payload: body }),
            }),
          ),
      }),
    { deps: { credentials } },
  );
}

test("a password is answered once; the list has who and when, and the audit line who and which device", () =>
  withCredentials(async ({ ask, broker, observer }) => {
    const made = await ask("POST", "/devices/dev-1/credentials");
    assert.is(made.status, 201);
    assert.equal(made.body, {
      device_id: "dev-1",
      username: "dev-1~1",
      client_id: "dev-1",
      password: "secret-1",
      expires_at: "2026-01-16T10:00:00.000Z",
    });
    assert.is(made.headers["cache-control"], "no-store");
    const again = await ask("POST", "/devices/dev-1/credentials", {});
    assert.is(again.status, 409);
    assert.is(problemIn(again).code, "CREDENTIALS_EXIST");
    const next = await ask("POST", "/api/v1/devices/dev-1/credentials/rotate", {
      overlap_hours: 1,
    });
    assert.is(next.status, 201);
    const listed = await ask("GET", "/devices/dev-1/credentials");
    assert.equal(
      (
        listed.body as {
          credentials: { username: string; state: string; ends_at: string }[];
        }
      ).credentials.map(({ username, state, ends_at }) => [
        username,
        state,
        ends_at,
      ]),
      [
        ["dev-1~1", "retiring", "2026-01-15T11:00:00.000Z"],
        ["dev-1~2", "active", null],
      ],
    );
    assert.not.match(listed.text, "secret");
    const one = await ask(
      "DELETE",
      "/devices/dev-1/credentials?username=dev-1~1",
    );
    assert.equal(one.body, { device_id: "dev-1", revoked: ["dev-1~1"] });
    assert.equal([...broker.accounts.keys()], ["dev-1~2"]);
    assert.is((await ask("DELETE", "/devices/dev-1/credentials")).status, 200);
    assert.equal([...broker.accounts.keys()], []);
    const gone = await ask("DELETE", "/devices/dev-1/credentials");
    assert.is(problemIn(gone).code, "CREDENTIALS_UNKNOWN");
    assert.is(gone.status, 404);

    const audits = observer.events.filter(({ type }) => type === "audit");
    assert.equal(
      audits.map(
        (event) =>
          event.type === "audit" && [event.act, event.subject, event.outcome],
      ),
      [
        ["credentials add", "dev-1", "ok"],
        ["credentials add", "dev-1", "refused"],
        ["credentials rotate", "dev-1", "ok"],
        ["credentials revoke", "dev-1", "ok"],
        ["credentials revoke", "dev-1", "ok"],
        ["credentials revoke", "dev-1", "refused"],
      ],
    );
    assert.not.match(JSON.stringify(observer.events), "secret");
  }));

test("viewers may not, and a tenant's operator reaches no other tenant's device of the same name", () =>
  withCredentials(async ({ ask, as, broker }) => {
    await ask("POST", "/devices/dev-1/credentials");
    for (const [method, url] of [
      ["GET", "/devices/dev-1/credentials"],
      ["POST", "/devices/dev-1/credentials"],
      ["POST", "/devices/dev-1/credentials/rotate"],
      ["DELETE", "/devices/dev-1/credentials"],
    ] as const) {
      assert.is(
        (await ask(method, url, undefined, as("viewer"))).status,
        403,
        url,
      );
      assert.is((await ask(method, url, undefined, {})).status, 401, url);
    }
    const acme = as("operator", "acme");
    assert.equal(
      (await ask("GET", "/devices/dev-1/credentials", undefined, acme)).body,
      {
        device_id: "dev-1",
        credentials: [],
      },
    );
    for (const username of ["", "?username=dev-1~1"])
      assert.is(
        (
          await ask(
            "DELETE",
            `/devices/dev-1/credentials${username}`,
            undefined,
            acme,
          )
        ).status,
        404,
      );
    assert.is(
      (await ask("POST", "/devices/dev-1/credentials/rotate", {}, acme)).status,
      404,
    );
    assert.is(
      problemIn(await ask("POST", "/devices/dev-1/credentials", {}, acme)).code,
      "BAD_REQUEST",
    );
    const own = await ask(
      "POST",
      "/devices/dev-1/credentials",
      { site: "lisbon" },
      acme,
    );
    assert.is(own.status, 201);
    assert.equal([...broker.accounts.keys()], ["dev-1~1", "acme~dev-1~1"]);
    assert.is(
      (await ask("POST", "/devices/dev-2/credentials", { site: "a/b" }, acme))
        .status,
      400,
    );
    assert.is(
      (
        await ask("POST", "/devices/dev-1/credentials/rotate", {
          overlap_hours: -1,
        })
      ).status,
      400,
    );
  }));

test("a broker that is away or has no accounts to manage is said so", () =>
  withCredentials(async ({ ask, broker }) => {
    broker.failNext = "before";
    const away = await ask("POST", "/devices/dev-1/credentials");
    assert.is(away.status, 503);
    assert.is(problemIn(away).code, "BROKER_UNREACHABLE");
    assert.is((await ask("POST", "/devices/dev-1/credentials")).status, 201);
  }));

test.run();
