/** A fleet's uploads against a gateway that answers as it is told. */
import { createServer, type IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { openGatewaySession } from "../../src/simulator/gateway-session.js";
import type { Ledger, UploadAttempt } from "../../src/simulator/ledger.js";
import { uploadBody } from "../../src/simulator/upload-body.js";
import { startUploads } from "../../src/simulator/uploads.js";
import { until } from "../support/wait.js";

const test = suite("the fleet's uploads");
const patience = { withinMs: 10_000 };
const ACCOUNT = { username: "fleet", password: "hunter2hunter2" };

interface Asked {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}
type Answers = (asked: Asked) => { status: number; body?: object };

/** A gateway for as long as `use` takes; what it was asked, in order. */
async function withGateway(
  answers: Answers,
  use: (url: string, asked: readonly Asked[]) => Promise<void>,
): Promise<void> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      const one = { path: request.url ?? "", headers: request.headers, body };
      asked.push(one);
      const answer = answers(one);
      response.writeHead(answer.status).end(JSON.stringify(answer.body ?? {}));
    });
  });
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () =>
      resolve((server.address() as { port: number }).port),
    );
  });
  try {
    await use(`http://127.0.0.1:${port}`, asked);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const tokens = (n: number, expires_in = 900) => ({
  status: 200,
  body: { access_token: `a${n}`, refresh_token: `r${n}`, expires_in },
});

function memoryLedger(): Ledger & { attempts(): UploadAttempt[] } {
  const lines: string[] = [];
  return {
    write: (line) => lines.push(line),
    full: () => false,
    failure: () => null,
    close: async () => undefined,
    attempts: () => lines.map((line) => JSON.parse(line) as UploadAttempt),
  };
}

test("bodies that meet have the same values at the same seconds, and no gap", () => {
  const nowMs = Date.parse("2026-01-15T10:00:00.250Z");
  const ids = Array.from({ length: 12 }, (_, i) => `sim-${i}`);
  const first = uploadBody(ids, nowMs - 60_000, nowMs);
  const next = uploadBody(ids, nowMs, nowMs + 60_000);
  assert.is(first.readings, 10 * 2 * 60);
  const instants = (text: string): Map<string, number> =>
    new Map(
      (
        JSON.parse(text) as {
          equip_uuid: string;
          sensor: { sensor_uuid: string; valor: number; timestamp: string }[];
        }[]
      ).flatMap(({ equip_uuid: id, sensor }) =>
        sensor.map(
          ({ sensor_uuid, timestamp, valor }) =>
            [`${id} ${sensor_uuid} ${timestamp}`, valor] as const,
        ),
      ),
    );
  const both = uploadBody(ids, nowMs - 60_000, nowMs + 60_000);
  assert.equal(
    new Map([...instants(first.text), ...instants(next.text)]).size,
    both.readings,
  );
  for (const [instant, value] of instants(both.text))
    assert.is(
      instants(first.text).get(instant) ?? instants(next.text).get(instant),
      value,
    );
  assert.is(uploadBody(ids, 0, nowMs).readings, 10 * 2 * 600);
});

test("one that fails is told in a line and sent again under its key, until it is taken", async () => {
  const statuses = [503, 429, 202, 400];
  let given = 0;
  const notices: string[] = [];
  const ledger = memoryLedger();
  await withGateway(
    ({ path }) => {
      if (path.endsWith("/login")) return tokens(1);
      const status = statuses[given++] ?? 202;
      return {
        status,
        body: status === 202 ? { claim_id: `c${given}` } : { detail: "why" },
      };
    },
    async (url, asked) => {
      const uploads = startUploads({
        url,
        account: ACCOUNT,
        everySeconds: 1,
        firstSeconds: 0,
        deviceIds: ["sim-1"],
        ledger,
        notice: (text) => notices.push(text),
      });
      await until(() => uploads.tally().accepted === 2, {
        ...patience,
        what: "two uploads",
      });
      await uploads.stop(5);
      assert.equal(uploads.tally().failed, 3);
      const bulk = asked.filter(({ path }) => path.endsWith("/bulk"));
      const keys = bulk.map(({ headers }) => headers["idempotency-key"]);
      assert.is(keys[0], keys[2]);
      assert.is(new Set(keys).size, 3);
      assert.ok(bulk[0]!.body.equals(bulk[2]!.body));
      assert.type(JSON.parse(String(gunzipSync(bulk[4]!.body))), "object");
    },
  );
  assert.equal(
    ledger
      .attempts()
      .map(({ outcome, status, claim }) => [outcome, status, claim]),
    [
      ["unknown", 503, null],
      ["refused", 429, null],
      ["acked", 202, "c3"],
      ["refused", 400, null],
      ["acked", 202, "c5"],
    ],
  );
  assert.is(notices.length, 3);
  assert.match(notices[0]!, "503 why; it is sent again in 1 s");
  assert.match(notices[2]!, "400 why; another is made in 1 s");
});

test("a gateway that is away is told, and not waited for at the end", async () => {
  const notices: string[] = [];
  const ledger = memoryLedger();
  await withGateway(
    () => ({ status: 202 }),
    async (url) => {
      const away = new URL(url);
      away.port = "1";
      const uploads = startUploads({
        url: away.href,
        account: null,
        everySeconds: 60,
        firstSeconds: 0,
        deviceIds: ["sim-1"],
        ledger,
        notice: (text) => notices.push(text),
      });
      await until(() => notices.length === 1, {
        ...patience,
        what: "a notice",
      });
      await uploads.stop(0);
    },
  );
  assert.match(notices[0]!, "no answer: ");
  assert.is(ledger.attempts()[0]!.outcome, "unknown");
});

test("a token is refreshed before its end, and a refused one replaced by a log-in", async () => {
  let good = "";
  let logins = 0;
  let refreshes = 0;
  await withGateway(
    ({ path, headers, body }) => {
      if (path.endsWith("/login")) {
        assert.equal(JSON.parse(String(body)), ACCOUNT);
        good = `a${++logins}`;
        return tokens(logins);
      }
      if (path.endsWith("/refresh")) {
        refreshes += 1;
        if (!String(body).includes('"r1"')) return { status: 401 };
        good = "a7";
        return tokens(7);
      }
      return {
        status: headers.authorization === `Bearer ${good}` ? 202 : 401,
      };
    },
    async (url) => {
      let nowMs = 0;
      const session = openGatewaySession(url, ACCOUNT, () => nowMs);
      const post = async (): Promise<string> => {
        const { signal } = new AbortController();
        const { status } = await session.post("/x", Buffer.of(), {}, signal);
        return `${status}: ${logins} log-ins, ${refreshes} refreshes`;
      };
      assert.is(await post(), "202: 1 log-ins, 0 refreshes");
      assert.is(await post(), "202: 1 log-ins, 0 refreshes");
      nowMs = 890_000;
      assert.is(await post(), "202: 1 log-ins, 1 refreshes");
      nowMs = 1_780_000;
      assert.is(await post(), "202: 2 log-ins, 2 refreshes");
      good = "nobody's";
      assert.is(await post(), "202: 3 log-ins, 2 refreshes");
    },
  );
});

test("a refused log-in is told without the password", async () => {
  await withGateway(
    () => ({ status: 401, body: { detail: "wrong name or password" } }),
    async (url) => {
      const { signal } = new AbortController();
      const error = await openGatewaySession(url, ACCOUNT)
        .post("/x", Buffer.of(), {}, signal)
        .catch(String);
      assert.is(
        error,
        "Error: log-in as fleet refused: 401 wrong name or password",
      );
    },
  );
});

test.run();
