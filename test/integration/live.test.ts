/** Live streams on real Redis and a gateway process: thousands of clients, readers that freeze or vanish, memory, and others' latency. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { Redis } from "ioredis";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createDeviceView } from "../../src/adapters/redis/device-view.js";
import { address, updatesChannel } from "../../src/domain/names.js";
import { changeOf, newDevice } from "../conformance/device-view.js";
import { withDatabase } from "../support/database.js";
import { openSse, openWebSocket } from "../support/live-clients.js";
import { freePort, type RoleProcess, startRole } from "../support/roles.js";
import { type ServiceEnv, withServices } from "../support/services.js";
import { until } from "../support/wait.js";

const live = suite("live streams on real services");

interface Ground {
  readonly env: ServiceEnv;
  readonly role: RoleProcess;
  readonly url: string;
  readonly port: number;
  readonly redis: Redis;
}

async function withGateway(
  settings: Readonly<Record<string, string>>,
  run: (ground: Ground) => Promise<void>,
): Promise<void> {
  await withServices(["kafka", "redis", "postgres", "mqtt"], (shared) =>
    withDatabase({}, async (database) => {
      const port = await freePort();
      const env = {
        ...shared,
        DATABASE_URL: database.url,
        HTTP_PORT: String(port),
        ...settings,
      };
      const redis = new Redis(shared["REDIS_URL"] ?? "");
      const role = await startRole("gateway", env);
      try {
        await role.ready();
        await run({ env, role, url: `http://127.0.0.1:${port}`, port, redis });
        assert.is(await role.stop(), 0, role.output());
      } finally {
        redis.disconnect();
        await role.kill();
      }
    }),
  );
}

/** Resident MiB of a process. */
async function residentOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1]) / 1024;
}

live(
  "what the processor writes comes as it is published; who comes back misses nothing",
  () =>
    withGateway({}, async (ground) => {
      for (const kind of ["sse", "websocket"] as const)
        await follow(kind, ground);
    }),
);

async function follow(
  kind: "sse" | "websocket",
  { env, url, redis }: Ground,
): Promise<void> {
  const open = kind === "sse" ? openSse : openWebSocket;
  const device = newDevice();
  const view = createDeviceView({
    url: env["REDIS_URL"] ?? "",
    historySeconds: 18_000,
    clock: Date.now,
  });
  const say = async (atS: number, n: number): Promise<string> => {
    const text = JSON.stringify({
      device_id: device.deviceId,
      payload: { n },
      timestamp: atS,
    });
    await view.write({
      changes: [
        {
          ...changeOf(device, []),
          history: [{ score: atS, member: text }],
          publish: [text],
          seenUs: Math.round(atS * 1e6),
        },
      ],
      publish: true,
      mark: null,
    });
    return text;
  };
  try {
    const path = `${url}/api/v1/live?device=${device.deviceId}`;
    const first = await open(path);
    await first.wait("ready");
    const startS = Math.floor(Date.now() / 1000) - 100;
    const texts = [await say(startS, 0), await say(startS + 1.5, 1)];
    await first.wait("update", 2);
    assert.is((await first.wait("presence"))[0]!.id, null);
    const last = first.events.findLast(({ event }) => event === "update")!;
    assert.is(last.id, String(startS + 1.5));
    first.close();
    for (let n = 2; n < 60; n++) texts.push(await say(startS + n, n));
    // While it comes back more is said all the time.
    let n = 60;
    let stop = false;
    const saying = (async () => {
      while (!stop) texts.push(await say(startS + n, n++));
    })();
    const again = await open(path, { "last-event-id": last.id! });
    await again.wait("update", 100);
    stop = true;
    await saying;
    const got = await again.wait("update", texts.length - 2);
    assert.equal(
      got.map(({ text }) => text),
      texts.slice(2),
    );
    const { resumed, complete } = again.events[0]!.data as {
      resumed: number;
      complete: boolean;
    };
    assert.ok(resumed >= 58 && complete);
    // The connection to Redis breaks: it comes back, clients are told, and shown the newest.
    const clients = String(await redis.client("LIST"));
    for (const line of clients.split("\n"))
      if (line.includes(" name=twinstream-live "))
        await redis.client("KILL", "ID", /^id=(\d+)/.exec(line)?.[1] ?? "");
    await again.wait("gap");
    const newest = await say(startS + n, n);
    await until(() => again.events.at(-1)?.text === newest, {
      withinMs: 5000,
      what: "the newest after the gap",
    });
    again.close();
  } finally {
    await view.close();
  }
}

/** A client that only counts, so that thousands fit into this process. */
interface Counter {
  readonly socket: Socket;
  updates: number;
}
const UPDATE = Buffer.from("event: update");

function countUpdates(port: number, path: string): Promise<Counter> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const counter: Counter = { socket, updates: 0 };
    let ready = false;
    socket.on("error", reject);
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
    socket.on("data", (chunk) => {
      if (!ready && chunk.includes("event: ready")) {
        ready = true;
        resolve(counter);
      }
      for (let at = chunk.indexOf(UPDATE); at !== -1;)
        [counter.updates, at] = [
          counter.updates + 1,
          chunk.indexOf(UPDATE, at + UPDATE.length),
        ];
    });
  });
}

live(
  "2,000 clients on one subscription: each gets its devices' messages, in bounded memory",
  () =>
    withGateway(
      {
        LIVE_MAX_CLIENTS: "0",
        LIVE_MAX_PER_USER: "0",
        LIVE_MAX_PER_ADDRESS: "0",
      },
      async ({ role, port, redis }) => {
        const run = randomBytes(4).toString("hex");
        const ids = Array.from({ length: 400 }, (_, i) => `live-${run}-${i}`);
        const before = await residentOf(role.pid);
        const clients: Counter[] = [];
        try {
          const startMs = Date.now();
          while (clients.length < 2000)
            clients.push(
              ...(await Promise.all(
                Array.from({ length: 100 }, (_, i) => {
                  const first = clients.length + i;
                  const mine = Array.from(
                    { length: 5 },
                    (__, k) => `device=${ids[(first * 5 + k) % 400]}`,
                  );
                  return countUpdates(port, `/live?${mine.join("&")}`);
                }),
              )),
            );
          const openMs = Date.now() - startMs;
          const open = await residentOf(role.pid);
          const subscriptions = String(await redis.client("LIST"))
            .split("\n")
            .filter((line) => line.includes(" name=twinstream-live "));
          assert.ok(subscriptions.some((line) => line.includes(" sub=401 ")));
          const rounds = 10;
          const sentMs = Date.now();
          for (let round = 0; round < rounds; round++) {
            const pipeline = redis.pipeline();
            for (const id of ids)
              pipeline.publish(
                updatesChannel(id),
                `{"device_id":"${id}","payload":{"n":${round},"text":"${"x".repeat(200)}"},"timestamp":${sentMs / 1000}}`,
              );
            await pipeline.exec();
            await pause(100); // A pace, not a wait.
          }
          await until(
            () => clients.every(({ updates }) => updates === 5 * rounds),
            {
              withinMs: 30_000,
              what: "every client to have all of its messages",
            },
          );
          const seconds = (Date.now() - sentMs) / 1000;
          const after = await residentOf(role.pid);
          console.log(
            `2,000 clients open in ${(openMs / 1000).toFixed(1)} s, ${(((open - before) * 1024) / 2000).toFixed(0)} KiB each; ${400 * rounds} messages, ${2000 * 5 * rounds} frames in ${seconds.toFixed(1)} s; resident ${before.toFixed(0)} → ${open.toFixed(0)} → ${after.toFixed(0)} MiB`,
          );
          assert.ok(open - before < 200, "200 MiB for 2,000 clients");
          assert.ok(after - open < 64, "flat while messages go through");
          await until(
            async () => (await role.metric("live_frames_total")) >= 100_000,
            { withinMs: 5000, what: "the frames to be counted" },
          );
        } finally {
          for (const { socket } of clients) socket.destroy();
        }
        await until(async () => (await role.metric("live_clients")) === 0, {
          withinMs: 10_000,
          what: "all to be gone",
        });
        await until(
          async () =>
            (
              await redis.pubsub(
                "CHANNELS",
                `${updatesChannel(`live-${run}`)}*`,
              )
            ).length === 0,
          { withinMs: 5000, what: "nothing to be subscribed any more" },
        );
      },
    ),
);

live(
  "readers that freeze or vanish cost a bounded memory and no one else's latency",
  () =>
    withGateway(
      { LIVE_BUFFER_BYTES: "65536", LIVE_STUCK_SECONDS: "4" },
      async ({ role, url, redis }) => {
        const tenantWide = `${url}/live`;
        const healthy = await Promise.all(
          Array.from({ length: 10 }, () => openSse(tenantWide)),
        );
        await Promise.all(healthy.map((stream) => stream.wait("ready")));
        const id = `live-${randomBytes(4).toString("hex")}`;
        const text = "x".repeat(20_000);
        /** 40 messages a second of 20 KB; milliseconds to each of the healthy. */
        async function publish(forMs: number): Promise<number[]> {
          for (const { events } of healthy) events.length = 0;
          const endMs = Date.now() + forMs;
          let n = 0;
          while (Date.now() < endMs) {
            await redis.publish(
              updatesChannel(address("default", `${id}-${n % 50}`)),
              `{"device_id":"${id}","payload":{"at":${Date.now()},"text":"${text}"},"timestamp":${Date.now() / 1000}}`,
            );
            n++;
            await pause(25); // A pace, not a wait.
          }
          await Promise.all(healthy.map((stream) => stream.wait("update", n)));
          return latencies;
        }
        let latencies: number[] = [];
        for (const { events } of healthy)
          Object.assign(events, {
            push(event: (typeof events)[number]) {
              const { at } = (event.data as { payload?: { at: number } })
                .payload ?? {
                at: 0,
              };
              if (at > 0) latencies.push(Date.now() - at);
              return Array.prototype.push.call(events, { ...event, text: "" });
            },
          });
        const p99 = (of: readonly number[]): number =>
          of.toSorted((a, b) => a - b)[Math.floor(of.length * 0.99)] ?? 0;
        const quiet = p99(await publish(3000));
        latencies = [];
        const before = await residentOf(role.pid);
        const frozen = await Promise.all(
          Array.from({ length: 20 }, (_, i) =>
            (i % 2 === 0 ? openSse : openWebSocket)(tenantWide),
          ),
        );
        await Promise.all(frozen.map((stream) => stream.wait("ready")));
        for (const stream of frozen) stream.freeze();
        let most = 0;
        let watching = true;
        const watch = (async () => {
          while (watching) {
            most = Math.max(most, await residentOf(role.pid));
            await pause(200); // Between two looks, not a wait.
          }
        })();
        const vanishing = await Promise.all(
          Array.from({ length: 20 }, () => openSse(tenantWide)),
        );
        for (const stream of vanishing) stream.close();
        const disturbed = p99(await publish(10_000));
        await until(
          async () => (await role.metric("live_closed_slow_total")) >= 20,
          { withinMs: 30_000, what: "those that take nothing to be cut off" },
        );
        watching = false;
        await watch;
        const conflated = await role.metric("live_conflated_total");
        console.log(
          `p99 of 10 clients at 40 messages/s of 20 KB: quiet ${quiet} ms, beside 20 frozen and 20 vanished ${disturbed} ms; resident ${before.toFixed(0)} → at most ${most.toFixed(0)} MiB; ${conflated} conflated, 20 closed`,
        );
        assert.ok(conflated > 0);
        assert.ok(most - before < 64, `${most - before} MiB more`);
        assert.ok(disturbed <= Math.max(2 * quiet, 250), `${disturbed} ms`);
        await until(async () => (await role.metric("live_clients")) === 10, {
          withinMs: 5000,
          what: "the healthy alone to be left",
        });
        assert.is(
          healthy.filter(({ events }) =>
            events.some(({ event }) => event === "conflated"),
          ).length,
          0,
        );
        for (const stream of healthy) stream.close();
      },
    ),
);

live.run();
