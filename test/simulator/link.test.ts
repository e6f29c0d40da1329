/** The network between a fleet and its broker. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Link, openLink } from "../../src/simulator/link.js";
import { within } from "../support/wait.js";

const test = suite("the link of a fleet");

/** A link to a server that says everything back. */
async function withLink(work: (link: Link) => Promise<void>): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const link = await openLink(`mqtt://ana:secret@127.0.0.1:${port}`);
  try {
    await work(link);
  } finally {
    await link.close();
    server.close();
  }
}

function dial(link: Link) {
  const socket = connect(Number(new URL(link.url).port), "127.0.0.1");
  socket.on("error", () => undefined);
  const closed = within(5000, once(socket, "close"), "the end of a connection");
  return {
    closed,
    async hears(words: string): Promise<void> {
      socket.write(words);
      const [answer] = await within(5000, once(socket, "data"), "an answer");
      assert.is(String(answer), words);
    },
  };
}

test("passes on what is said both ways, under the broker's own log-in", () =>
  withLink(async (link) => {
    const { username, password } = new URL(link.url);
    assert.equal([username, password], ["ana", "secret"]);
    await dial(link).hears("hello");
  }));

test("cut, breaks every connection and takes none, until it is restored", () =>
  withLink(async (link) => {
    const before = [dial(link), dial(link)];
    for (const each of before) await each.hears("hello");
    assert.is(link.cut(), 2);
    for (const { closed } of before) await closed;
    await dial(link).closed;
    link.restore();
    await dial(link).hears("again");
  }));

test.run();
