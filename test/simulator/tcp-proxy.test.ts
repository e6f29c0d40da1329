/** The relay by which the fault suite breaks links: each thing that it says it does, seen from both ends. */
import {
  type AddressInfo,
  connect,
  createServer,
  type Server,
  type Socket,
} from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type TcpProxy, withTcpProxy } from "../support/tcp-proxy.js";
import { until } from "../support/wait.js";

const test = suite("the TCP proxy");
const soon = (what: string) => ({ withinMs: 5000, what });

interface Ground {
  readonly proxy: TcpProxy;
  readonly client: Socket;
  /** What the service has got, and what came back. */
  readonly got: () => string;
  readonly back: () => string;
  readonly ended: () => string | null;
  readonly served: Socket[];
  /** One more client. */
  dial(): Promise<Socket>;
}

/** A service that answers each piece with itself in capitals. */
async function withEcho(
  work: (ground: Ground) => Promise<void>,
): Promise<void> {
  let got = "";
  const served: Socket[] = [];
  const server: Server = createServer((socket) => {
    served.push(socket);
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      got += chunk.toString();
      socket.write(chunk.toString().toUpperCase());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await withTcpProxy(`127.0.0.1:${port}`, async (proxy) => {
      assert.is(proxy.url, `127.0.0.1:${proxy.port}`);
      const clients: Socket[] = [];
      const dial = async (): Promise<Socket> => {
        const socket = connect(proxy.port, "127.0.0.1");
        clients.push(socket);
        socket.on("error", () => undefined);
        await new Promise<void>((resolve) =>
          socket.once("connect", resolve).once("close", resolve),
        );
        return socket;
      };
      const client = await dial();
      let back = "";
      let ended: string | null = null;
      client.on("data", (chunk) => (back += chunk.toString()));
      client.on(
        "error",
        (error) => (ended = (error as NodeJS.ErrnoException).code ?? "error"),
      );
      client.on("close", () => (ended ??= "closed"));
      try {
        await work({
          proxy,
          client,
          got: () => got,
          back: () => back,
          ended: () => ended,
          served,
          dial,
        });
      } finally {
        for (const socket of clients) socket.destroy();
      }
    });
  } finally {
    for (const socket of served) socket.destroy();
    server.close();
  }
}

test("in fair weather everything passes, both ways, and an end is an end", () =>
  withEcho(async ({ client, proxy, got, back, ended }) => {
    const text = "x".repeat(3_000_000);
    client.end(text);
    await until(() => back().length === text.length, soon("the answer"));
    assert.is(got().length, text.length);
    assert.is(proxy.counts.bytesUp, text.length);
    await until(ended, soon("the end"));
    assert.is(ended(), "closed");
    await until(() => proxy.standing() === 0, soon("nothing to be left"));
  }));

test("delay and jitter keep the order, and both directions take them", () =>
  withEcho(async ({ client, proxy, back }) => {
    proxy.weather({ delayMs: 60, jitterMs: 50 });
    const begun = performance.now();
    for (let n = 0; n < 26; n++) {
      client.write(String.fromCharCode(97 + n));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => back().length === 26, soon("all letters"));
    assert.is(back(), "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    assert.ok(performance.now() - begun > 20);
  }));

test("a narrow link takes its time, and a sliced one gives small pieces", () =>
  withEcho(async ({ client, proxy, got, back, served }) => {
    proxy.weather({ bytesPerSecond: 100_000 });
    const begun = performance.now();
    client.write("x".repeat(20_000));
    await until(() => got().length === 20_000, soon("20 kB at 100 kB/s"));
    assert.ok(performance.now() - begun > 150);
    await until(() => back().length === 20_000, soon("the answer"));
    proxy.weather({ pieces: 3, delayMs: 1 });
    const sizes: number[] = [];
    served[0]!.on("data", (chunk) => sizes.push(chunk.length));
    client.write("0123456789");
    await until(() => got().endsWith("0123456789"), soon("the pieces"));
    assert.ok(sizes.every((size) => size <= 10) && sizes.length >= 1);
  }));

test("what a black hole swallowed comes when it has gone", () =>
  withEcho(async ({ client, proxy, got, back, ended, dial }) => {
    proxy.weather({ swallowed: ["up"] });
    client.write("a");
    const other = await dial();
    other.write("b");
    await until(() => proxy.counts.bytesUp === 2, soon("both to be swallowed"));
    assert.is(got(), "");
    assert.is(ended(), null);
    proxy.weather({});
    await until(() => back() === "A", soon("the answer"));
    await until(() => got().length === 2, soon("the other's"));
  }));

test("one connection is stalled, the next is whole", () =>
  withEcho(async ({ client, proxy, got, dial }) => {
    await until(() => proxy.standing() === 1, soon("the connection"));
    proxy.stall("up");
    client.write("never");
    const other = await dial();
    other.write("b");
    await until(() => got() === "b", soon("the other's"));
  }));

test("a reset falls in the middle of what is sent", () =>
  withEcho(async ({ client, proxy, got, ended }) => {
    client.write("first");
    await until(() => got() === "first", soon("the first"));
    proxy.resetAfter(5, "up");
    client.write("0123456789");
    await until(ended, soon("the reset"));
    assert.is(ended(), "ECONNRESET");
    assert.ok("first01234".startsWith(got()));
    assert.is(proxy.counts.broken, 1);
  }));

test("a lost answer's question took effect", () =>
  withEcho(async ({ client, proxy, got, back, ended }) => {
    const lost = proxy.loseAnswerTo("COMMIT");
    client.write("begin;");
    await until(() => back() === "BEGIN;", soon("the first answer"));
    client.write("COMMIT;");
    await lost;
    await until(ended, soon("the cut"));
    assert.is(got(), "begin;COMMIT;");
    assert.is(back(), "BEGIN;");
  }));

test("a half-open connection takes what is said, and answers nothing", () =>
  withEcho(async ({ client, proxy, got, back, ended, served }) => {
    client.write("a");
    await until(() => back() === "A", soon("the answer"));
    proxy.abandon();
    await until(() => served[0]!.destroyed, soon("the service to be told"));
    client.write("b");
    await until(() => proxy.standing() === 1, soon("it to stand"));
    assert.is(ended(), null);
    assert.is(got(), "a");
    assert.ok(proxy.hasAbandoned());
    client.end();
    await until(() => !proxy.hasAbandoned(), soon("its client to let go"));
  }));

test("shut refuses, cut ends, open lets in again", () =>
  withEcho(async ({ client, proxy, ended, dial, back }) => {
    client.write("a");
    await until(() => back() === "A", soon("the answer"));
    proxy.shut();
    await until(ended, soon("the cut"));
    const refused = await dial();
    await until(() => refused.destroyed, soon("the refusal"));
    proxy.open();
    const again = await dial();
    let answer = "";
    again.on("data", (chunk) => (answer += chunk.toString()));
    again.write("b");
    await until(() => answer === "B", soon("the answer"));
    proxy.cut();
    await until(() => again.destroyed, soon("the cut"));
  }));

test.run();
