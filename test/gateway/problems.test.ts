import { connect } from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ERRORS, TwinstreamError } from "../../src/errors.js";
import { answerOf, problemIn, withGateway } from "../support/gateway-rig.js";
import { within } from "../support/wait.js";

const problems = suite("problem answers");

problems("have exactly the fields of the contract", () =>
  withGateway(async (rig) => {
    const answer = await rig.get("/nowhere?token=x", { "x-request-id": "r-1" });
    assert.is(answer.status, 404);
    assert.match(
      String(answer.headers["content-type"]),
      "application/problem+json",
    );
    assert.is(answer.headers["x-request-id"], "r-1");
    assert.equal(answer.body, {
      type: "urn:twinstream:problem:NOT_FOUND",
      title: "there is no such thing",
      status: 404,
      code: "NOT_FOUND",
      detail: "there is nothing at GET /nowhere",
      errors: [],
      request_id: "r-1",
    });
  }),
);

problems("say which methods an address takes", () =>
  withGateway(async (rig) => {
    for (const [method, url, allow] of [
      ["DELETE", "/devices", "GET, HEAD"],
      ["POST", "/api/v1/devices/dev-1", "GET, HEAD"],
      ["GET", "/devices/dev-1/command", "POST"],
      ["PUT", "/api/v1/health", "GET, HEAD"],
    ] as const) {
      const answer = answerOf(await rig.app.inject({ method, url }));
      assert.is(answer.status, 405, url);
      assert.is(answer.headers["allow"], allow);
      assert.is(problemIn(answer).code, "METHOD_NOT_ALLOWED");
    }
  }),
);

problems(
  "give each request an id, and refuse one that is not fit for a log",
  () =>
    withGateway(async (rig) => {
      const own = await rig.get("/health");
      assert.match(String(own.headers["x-request-id"]), /^[0-9a-f-]{36}$/);
      for (const bad of ["a b", "x".repeat(129), "<script>"]) {
        const answer = await rig.get("/health", { "x-request-id": bad });
        assert.match(String(answer.headers["x-request-id"]), /^[0-9a-f-]{36}$/);
      }
    }),
);

problems(
  "a store that does not answer is 503, to be tried again, without its address",
  () =>
    withGateway(async (rig) => {
      for (const [part, code] of [
        ["view", "VIEW_UNREACHABLE"],
        ["records", "STORE_UNREACHABLE"],
      ] as const) {
        rig[part].fail = new TwinstreamError(
          code,
          "connect redis://u:p@10.1.1.1",
        );
        for (const url of [
          "/devices?all=1",
          "/devices/dev-1",
          "/devices/dev-1/history",
          "/devices/dev-1/commands",
          "/devices/dev-1/commands/01A",
        ]) {
          const answer = await rig.get(url);
          if (part === "view" && answer.status !== 503) continue;
          assert.is(answer.status, 503, `${part} ${url}`);
          assert.is(problemIn(answer).code, code);
          assert.is(problemIn(answer).detail, ERRORS[code].message);
          assert.is(answer.headers["retry-after"], "5");
          assert.not.match(answer.text, "10.1.1.1");
        }
        rig[part].fail = null;
      }
      const failure = rig.observer.events.find(
        (event) => event.type === "failure",
      );
      assert.match(failure?.where ?? "", "gateway GET /devices");
    }),
);

problems(
  "an error of ours shows nothing of itself, and the log has it by its id",
  () =>
    withGateway(async (rig) => {
      for (const thrown of [
        new TypeError("secret inner detail"),
        new TwinstreamError("STORE_REFUSED", "secret inner detail"),
      ]) {
        rig.view.fail = thrown;
        const answer = await rig.get("/devices", { "x-request-id": "r-9" });
        assert.is(answer.status, 500);
        assert.is(problemIn(answer).code, "INTERNAL");
        assert.not.match(answer.text, "secret");
        const failure = rig.observer.events
          .filter((event) => event.type === "failure")
          .at(-1);
        assert.match(failure?.error ?? "", /r-9.*secret inner detail/s);
      }
    }),
);

problems("an address that cannot be decoded is a 400", () =>
  withGateway(async (rig) => {
    const answer = await rig.get("/devices/%ZZ");
    assert.is(answer.status, 400);
    assert.is(problemIn(answer).code, "BAD_REQUEST");
    assert.match(
      String(answer.headers["content-type"]),
      "application/problem+json",
    );
  }),
);

problems("what is not HTTP gets one too, and the connection is closed", () =>
  withGateway(async (rig) => {
    await rig.app.listen({ host: "127.0.0.1", port: 0 });
    const address = rig.app.server.address();
    assert.ok(typeof address === "object" && address !== null);
    const text = await within(
      3000,
      new Promise<string>((resolve, reject) => {
        const socket = connect(address.port, "127.0.0.1");
        let received = "";
        socket.on("data", (chunk: Buffer) => (received += String(chunk)));
        socket.on("close", () => resolve(received));
        socket.on("error", reject);
        socket.write("this is no request\r\n\r\n");
      }),
      "the answer to a broken request",
    );
    assert.match(text, /^HTTP\/1\.1 400 Bad Request\r\n/);
    const body = JSON.parse(text.slice(text.indexOf("\r\n\r\n"))) as {
      code: string;
    };
    assert.is(body.code, "BAD_REQUEST");
  }),
);
problems.run();
