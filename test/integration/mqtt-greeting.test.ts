/** Whether a broker is there, asked as the gateway asks: of a real one, of none, and of one that says nothing. */
import { createServer } from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { greetBroker } from "../../src/adapters/mqtt/visit.js";
import { TwinstreamError } from "../../src/errors.js";
import { freePort } from "../support/roles.js";
import { withServices } from "../support/services.js";
import { until, within } from "../support/wait.js";

const test = suite("greeting the broker");

const refusal = (url: string, withinMs: number): Promise<unknown> =>
  within(
    5000,
    greetBroker(url, withinMs).then(
      () => null,
      (error: unknown) => error,
    ),
    "the greeting to end",
  );

test("a broker that is there greets back, as often as it is asked", () =>
  withServices(["mqtt"], async ({ MQTT_URL: url = "" }) => {
    await Promise.all([1, 2, 3].map(() => greetBroker(url, 5000)));
  }));

test("one that is away is unreachable at once", async () => {
  const error = await refusal(`mqtt://127.0.0.1:${await freePort()}`, 4000);
  assert.ok(error instanceof TwinstreamError);
  assert.is(error.code, "BROKER_UNREACHABLE");
  assert.match(error.message, "ECONNREFUSED");
});

test("one that takes the connection and says nothing is given up on", async () => {
  const server = createServer((socket) => socket.resume());
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () =>
      resolve((server.address() as { port: number }).port),
    );
  });
  try {
    const error = await refusal(`mqtt://127.0.0.1:${port}`, 300);
    assert.ok(error instanceof TwinstreamError);
    assert.match(error.message, "no answer within 300 ms");
    await until(
      () =>
        new Promise<boolean>((resolve, reject) =>
          server.getConnections((failed, n) =>
            failed === null ? resolve(n === 0) : reject(failed),
          ),
        ),
      { withinMs: 5000, what: "no connection to be left" },
    );
  } finally {
    server.close();
  }
});

test.run();
