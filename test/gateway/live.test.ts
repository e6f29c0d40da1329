/** Live streams over real connections, on doubles: who gets what, from where on, and what becomes of those that are slow. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  address,
  PRESENCE_CHANNEL,
  updatesChannel,
} from "../../src/domain/names.js";
import type { GatewayDeps } from "../../src/gateway/deps.js";
import type { LiveDeps } from "../../src/gateway/routes/live.js";
import { type AuthRig, token, withAuth } from "../support/auth-rig.js";
import { NOW_S } from "../support/gateway-rig.js";
import {
  type LiveStream,
  openSse,
  openWebSocket,
} from "../support/live-clients.js";
import { createMemoryLiveFeed } from "../support/memory-live.js";
import { until } from "../support/wait.js";

const live = suite("live streams");

interface LiveRig extends AuthRig {
  readonly feed: ReturnType<typeof createMemoryLiveFeed>;
  readonly url: string;
  /** Publishes a device's message as the processor does. */
  update(at: string, timeS: number, payload?: unknown): string;
  open(
    kind: "sse" | "websocket",
    path: string,
    headers?: Record<string, string>,
  ): Promise<LiveStream>;
}

const messageOf = (at: string, timeS: number, payload: unknown): string => {
  const [tenant, deviceId] = at.includes("/") ? at.split("/") : [null, at];
  return `{"device_id":"${deviceId}","payload":${typeof payload === "string" ? payload : JSON.stringify(payload)},"timestamp":${timeS}${tenant === null ? "" : `,"tenant":"${tenant}"`}}`;
};

async function withLive(
  run: (rig: LiveRig) => Promise<void>,
  options: {
    live?: Partial<LiveDeps>;
    deps?: Partial<GatewayDeps>;
    settings?: Partial<GatewayDeps["settings"]>;
  } = {},
): Promise<void> {
  const feed = createMemoryLiveFeed(Date.now);
  const open: LiveStream[] = [];
  await withAuth(
    async (rig) => {
      const url = await rig.app.listen({ port: 0, host: "127.0.0.1" });
      try {
        await run({
          ...rig,
          feed,
          url,
          update(at, timeS, payload = { n: 1 }) {
            const message = messageOf(at, timeS, payload);
            feed.publish(updatesChannel(at), message);
            return message;
          },
          async open(kind, path, headers = rig.as("viewer")) {
            const connect = kind === "sse" ? openSse : openWebSocket;
            const stream = await connect(url + path, headers);
            open.push(stream);
            return stream;
          },
        });
      } finally {
        for (const stream of open) stream.close();
      }
    },
    {
      settings: options.settings ?? {},
      deps: {
        live: {
          feed,
          places: { total: 100, perUser: 50, perAddress: 80 },
          bufferBytes: 65_536,
          stuckS: 30,
          ...options.live,
        },
        ...options.deps,
      },
    },
  );
}

const BOTH = ["sse", "websocket"] as const;

for (const kind of BOTH) {
  live(`${kind}: ready, then what is published, as it was published`, () =>
    withLive(async (rig) => {
      const stream = await rig.open(kind, "/live?device=dev-1&device=dev-2");
      await stream.wait("ready");
      assert.equal(stream.events[0]!.data, { resumed: 0, complete: true });
      const sent = [
        rig.update(
          "dev-1",
          NOW_S + 0.125,
          '{ "t": 7.30,"n":12345678901234567890 }',
        ),
        rig.update("dev-2", NOW_S, '{"timestamp":5,"x":",\\"timestamp\\":7"}'),
        rig.update("dev-1", NOW_S + 1, '{\n  "text": "7.3 °C ❄"\n}'),
      ];
      rig.update("dev-3", NOW_S);
      rig.update(address("acme", "dev-1"), NOW_S);
      const presence = '{"device_id":"dev-2","online":false,"cause":"silent"}';
      rig.feed.publish(PRESENCE_CHANNEL, presence.replace("dev-2", "dev-9"));
      rig.feed.publish(PRESENCE_CHANNEL, presence);
      const updates = await stream.wait("update", 3);
      const byDevice = (id: string) =>
        updates
          .filter(
            ({ data }) => (data as { device_id: string }).device_id === id,
          )
          .map(({ id: at, text }) => [at, text]);
      assert.equal(byDevice("dev-1"), [
        [String(NOW_S + 0.125), sent[0]],
        [String(NOW_S + 1), sent[2]],
      ]);
      assert.equal(byDevice("dev-2"), [[String(NOW_S), sent[1]]]);
      const [shown] = await stream.wait("presence");
      assert.is(shown!.text, presence);
      assert.is(stream.events.length, 5);
    }),
  );

  live(`${kind}: without devices all of the tenant's, and nobody else's`, () =>
    withLive(async (rig) => {
      const flat = await rig.open(kind, "/live");
      const acme = await rig.open(
        kind,
        "/api/v1/live?tenant=default",
        rig.as("viewer", "acme"),
      );
      await Promise.all([flat.wait("ready"), acme.wait("ready")]);
      const theirs = rig.update(address("acme", "dev-1"), NOW_S);
      const ours = rig.update("dev-1", NOW_S);
      rig.update(address("acmes", "dev-1"), NOW_S);
      const gone = '{"device_id":"dev-1","tenant":"acme","online":true}';
      rig.feed.publish(PRESENCE_CHANNEL, gone);
      await acme.wait("presence");
      await flat.wait("update");
      assert.equal(
        acme.events.slice(1).map(({ text }) => text),
        [theirs, gone],
      );
      assert.equal(
        flat.events.slice(1).map(({ text }) => text),
        [ours],
      );
    }),
  );

  live(
    `${kind}: another tenant's device is watched under one's own tenant`,
    () =>
      withLive(async (rig) => {
        const stream = await rig.open(kind, "/live?device=dev-1", {
          ...rig.as("viewer", "globex"),
        });
        await stream.wait("ready");
        assert.equal(rig.feed.watched(), ["globex/dev-1"]);
        rig.update("dev-1", NOW_S);
        rig.update(address("acme", "dev-1"), NOW_S);
        const mine = rig.update(address("globex", "dev-1"), NOW_S);
        await stream.wait("update");
        assert.equal(stream.events[1]!.text, mine);
      }),
  );

  live(
    `${kind}: who comes back gets what was missed, in order, then what comes`,
    () =>
      withLive(async (rig) => {
        const past = (id: string, times: readonly number[]) =>
          rig.view.putHistory(
            id,
            times.map((s) => messageOf(id, NOW_S - 100 + s, { s })),
          );
        await past("dev-1", [1, 3, 5, 7]);
        await past("dev-2", [2, 3, 4, 6]);
        await past("dev-3", [4]);
        const headers = {
          ...rig.as("viewer"),
          "last-event-id": String(NOW_S - 97),
        };
        const stream = await rig.open(
          kind,
          `/live?device=dev-1&device=dev-2&last_event_id=${NOW_S - 99}`,
          headers,
        );
        await stream.wait("update", 4);
        assert.equal(stream.events[0]!.data, { resumed: 4, complete: true });
        const next = rig.update("dev-1", NOW_S);
        const updates = await stream.wait("update", 5);
        assert.equal(
          updates.slice(0, 4).map(({ id }) => Number(id) - NOW_S + 100),
          [4, 5, 6, 7],
        );
        assert.is(updates[4]!.text, next);
      }),
  );

  live(`${kind}: what is published while the history is read comes once`, () =>
    withLive(async (rig) => {
      const texts = Array.from({ length: 5 }, (_, i) =>
        messageOf("dev-1", NOW_S - 10 + i, { i }),
      );
      await rig.view.putHistory("dev-1", texts.slice(0, 2));
      const { history } = rig.view;
      Object.assign(rig.view, {
        async history(...given: Parameters<typeof history>) {
          // Followed already: the third is in the history too, the fourth and fifth are not yet.
          await rig.view.putHistory("dev-1", [texts[2]!]);
          for (const text of texts.slice(2))
            rig.feed.publish(updatesChannel("dev-1"), text);
          return history(...given);
        },
      });
      const stream = await rig.open(
        kind,
        `/live?device=dev-1&last_event_id=${NOW_S - 20}`,
      );
      const updates = await stream.wait("update", 5);
      assert.equal(
        updates.map(({ text }) => text),
        texts,
      );
    }),
  );

  live(
    `${kind}: who comes back to a whole tenant gets what its devices said`,
    () =>
      withLive(async (rig) => {
        await rig.view.putOnline({ "dev-1": NOW_S - 5, "dev-2": NOW_S - 900 });
        for (const id of ["dev-1", "dev-2"])
          await rig.view.putHistory(id, [messageOf(id, NOW_S - 5, {})]);
        const stream = await rig.open(
          kind,
          `/live?last_event_id=${NOW_S - 60}`,
        );
        await stream.wait("update");
        assert.equal(stream.events[0]!.data, { resumed: 1, complete: true });
        const old = await rig.open(
          kind,
          `/live?last_event_id=${NOW_S - 86_400}`,
        );
        await old.wait("ready");
        assert.equal(old.events[0]!.data, { resumed: 2, complete: false });
      }),
  );

  live(
    `${kind}: a history that cannot be read is told, and the stream goes on`,
    () =>
      withLive(async (rig) => {
        rig.view.fail = new Error("away");
        const stream = await rig.open(
          kind,
          `/live?device=dev-1&last_event_id=${NOW_S - 60}`,
        );
        await stream.wait("ready");
        assert.equal(stream.events[0]!.data, { resumed: 0, complete: false });
        rig.update("dev-1", NOW_S);
        await stream.wait("update");
      }),
  );

  live(`${kind}: a ticket opens one stream`, () =>
    withLive(async (rig) => {
      const got = await rig.post(
        "/api/v1/auth/ticket",
        {},
        rig.as("viewer", "acme"),
      );
      assert.is(got.status, 200);
      const { ticket, expires_in } = got.body as {
        ticket: string;
        expires_in: number;
      };
      assert.is(expires_in, 30);
      const stream = await rig.open(kind, `/live?ticket=${ticket}`, {});
      await stream.wait("ready");
      assert.equal(rig.feed.watched(), ["acme/*"]);
      for (const again of [ticket, "x", ""]) {
        const refused = await rig.open(kind, `/live?ticket=${again}`, {});
        assert.is(refused.status, 401);
        assert.is(refused.problem().code, "UNAUTHENTICATED");
      }
      const elsewhere = await rig.get(`/devices?ticket=${ticket}`);
      assert.is(elsewhere.status, 401);
    }),
  );

  live(
    `${kind}: without a token, or with a device that is none, there is no stream`,
    () =>
      withLive(async (rig) => {
        for (const [path, headers, status] of [
          ["/live", {}, 401],
          ["/live?device=a%2Fb", rig.as("viewer"), 400],
          ["/live?last_event_id=new", rig.as("viewer"), 400],
          [`/live?${"device=d&".repeat(3)}device=%20`, rig.as("viewer"), 400],
        ] as const) {
          const refused = await rig.open(kind, path, { ...headers });
          assert.is(refused.status, status, path);
          assert.match(String(refused.headers["content-type"]), "problem+json");
        }
        assert.equal(rig.feed.watched(), []);
      }),
  );

  live(`${kind}: a stream ends with its token`, () =>
    withLive(async (rig) => {
      // The rig's clock stands still, so what the token says is moved.
      const until = Math.floor(Date.now() / 1000) + 60;
      const stream = await rig.open(kind, "/live", {
        authorization: `Bearer ${token({ exp: until })}`,
      });
      await stream.wait("ready");
      rig.time.nowMs = until * 1000 + 6000;
      await stream.wait("end");
      assert.equal(stream.events.at(-1)!.data, { reason: "token_expired" });
      assert.is(await stream.closed, kind === "sse" ? 0 : 4401);
      await nobodyWatches(rig);
    }),
  );

  live(`${kind}: a gateway that stops says so`, () =>
    withLive(async (rig) => {
      const stream = await rig.open(kind, "/live");
      await stream.wait("ready");
      const closing = rig.app.close();
      await stream.wait("end");
      assert.equal(stream.events.at(-1)!.data, { reason: "going_away" });
      await closing;
      await stream.closed;
    }),
  );

  live(`${kind}: beats come in between`, () =>
    withLive(
      async (rig) => {
        const stream = await rig.open(kind, "/live");
        await until(
          () => {
            rig.time.nowMs += 100;
            return stream.beats() >= 2;
          },
          { withinMs: 10_000, what: "two beats" },
        );
      },
      { live: { beatMs: 500 } },
    ),
  );

  live(`${kind}: what nobody watches any more is watched no more`, () =>
    withLive(async (rig) => {
      const one = await rig.open(kind, "/live?device=dev-1&device=dev-2");
      const two = await rig.open(kind, "/live?device=dev-2");
      const all = await rig.open(kind, "/live");
      await Promise.all([one, two, all].map((stream) => stream.wait("ready")));
      assert.equal(rig.feed.watched().toSorted(), [
        "default/*",
        "dev-1",
        "dev-2",
      ]);
      one.close();
      all.close();
      await until(() => rig.feed.watched().join() === "dev-2", {
        withinMs: 5000,
        what: "the others to be let go",
      });
      two.close();
      await nobodyWatches(rig);
    }),
  );

  live(
    `${kind}: after a gap clients are told, and shown how things stand`,
    () =>
      withLive(async (rig) => {
        const one = await rig.open(kind, "/live?device=dev-1");
        const all = await rig.open(kind, "/live");
        await Promise.all([one.wait("ready"), all.wait("ready")]);
        rig.feed.breakOff();
        const refused = await rig.open(kind, "/live?device=dev-7");
        assert.is(refused.status, 503);
        assert.is(refused.problem().code, "VIEW_UNREACHABLE");
        const nowS = Date.now() / 1000 + 5;
        await rig.view.putOnline({
          "dev-1": nowS,
          "dev-2": nowS,
          "dev-3": NOW_S - 9,
        });
        for (const id of ["dev-1", "dev-2", "dev-3"])
          await rig.view.putLast(id, {
            payload: `{"is":"${id}"}`,
            timestamp: nowS,
          });
        rig.feed.comeBack();
        await all.wait("gap");
        const shown = await all.wait("update", 2);
        assert.equal(
          shown
            .map(({ data }) => (data as { payload: { is: string } }).payload.is)
            .toSorted(),
          ["dev-1", "dev-2"],
        );
        const [mine] = await one.wait("update");
        assert.is(mine!.id, String(nowS));
        rig.update("dev-1", NOW_S);
        await one.wait("update", 2);
      }),
  );
}

async function nobodyWatches(rig: LiveRig): Promise<void> {
  await until(() => rig.feed.watched().length === 0, {
    withinMs: 5000,
    what: "nothing to be watched any more",
  });
}

live(
  "limits of a user, an address and the process; a place given back is free",
  () =>
    withLive(
      async (rig) => {
        const as = (sub: string) => ({
          authorization: `Bearer ${token({ sub })}`,
        });
        const first = await rig.open("sse", "/live", as("ana"));
        await rig.open("websocket", "/live", as("ana"));
        for (const kind of BOTH) {
          const refused = await rig.open(kind, "/live", as("ana"));
          assert.is(refused.status, 429);
          assert.match(refused.problem().detail, "ana has 2 live streams");
        }
        await rig.open("sse", "/live", as("bob"));
        const full = await rig.open("websocket", "/live", as("bob"));
        assert.is(full.status, 503);
        assert.is(full.problem().code, "TOO_MANY_STREAMS");
        first.close();
        await until(
          async () =>
            (await rig.open("sse", "/live", as("ana"))).status === 200,
          { withinMs: 5000, what: "the place of the first" },
        );
      },
      { live: { places: { total: 3, perUser: 2, perAddress: 0 } } },
    ),
);

live("the answer's headers keep proxies, caches and other pages away", () =>
  withLive(
    async (rig) => {
      const { headers } = await rig.open("sse", "/live", {
        ...rig.as("viewer"),
        origin: "https://dash.example.com",
        "accept-encoding": "gzip, br",
      });
      assert.is(headers["content-type"], "text/event-stream; charset=utf-8");
      assert.is(headers["cache-control"], "no-store, no-transform");
      assert.is(headers["x-accel-buffering"], "no");
      assert.is(headers["content-encoding"], undefined);
      assert.is(
        headers["access-control-allow-origin"],
        "https://dash.example.com",
      );
      assert.match(
        String(headers["content-security-policy"]),
        "default-src 'none'",
      );
      assert.ok(headers["x-request-id"]);
    },
    { settings: { corsOrigins: ["https://dash.example.com"] } },
  ),
);

live("without log-in pages of others may not connect a WebSocket", () =>
  withLive(
    async (rig) => {
      const from = (origin: string) =>
        rig.open("websocket", "/live", { origin });
      assert.is((await from("https://evil.example.com")).status, 403);
      assert.is((await from("null")).status, 403);
      assert.is((await from(rig.url)).status, 101);
      assert.is((await from("https://dash.example.com")).status, 101);
      assert.is((await rig.open("websocket", "/live", {})).status, 101);
    },
    {
      deps: { auth: undefined },
      settings: { corsOrigins: ["https://dash.example.com"] },
    },
  ),
);

live.run();
