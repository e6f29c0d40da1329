import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type GatewayRig,
  NOW_S,
  problemIn,
  withGateway,
} from "../support/gateway-rig.js";

const giving = suite("body of POST /devices/:id/command");

const bringOnline = (rig: GatewayRig, id: string): Promise<void> =>
  rig.view.putOnline({ [id]: NOW_S });

giving("names every field that is wrong, and puts nothing on the log", () =>
  withGateway(async (rig) => {
    await bringOnline(rig, "dev-1");
    const cases: [body: unknown, path: string][] = [
      [{}, "body.op"],
      [{ op: "" }, "body.op"],
      [{ op: 7 }, "body.op"],
      [{ op: "x".repeat(129) }, "body.op"],
      [{ op: "x", ttl_s: 0 }, "body.ttl_s"],
      [{ op: "x", ttl_s: 604_801 }, "body.ttl_s"],
      [{ op: "x", ttl_s: 1.5 }, "body.ttl_s"],
      [{ op: "x", ttl_s: "60" }, "body.ttl_s"],
      [{ op: "x", queue: "yes" }, "body.queue"],
      [{ op: "x", by: 1 }, "body.by"],
      [{ op: "x", supersedes: "" }, "body.supersedes"],
      [{ op: "x", supersedes: 7 }, "body.supersedes"],
      [{ op: "x", supersedes: "a\0" }, "body.supersedes"],
      [{ op: "x", precondition: "RUN" }, "body.precondition"],
      [{ op: "x", precondition: {} }, "body.precondition"],
      [
        { op: "x", precondition: { point: "p", op: "like", value: 1 } },
        "body.precondition.op",
      ],
      [
        { op: "x", precondition: { point: "p", op: "lt", value: "1" } },
        "body.precondition.value",
      ],
      [[], "body"],
      ["null", "body"],
      ['"text"', "body"],
      [{ op: "a\0b" }, "body.op"],
      [{ op: "x", params: { deep: [{ a: "\0" }] } }, "body.params"],
      ['{"op":"x","note":"\\ud800"}', "body.note"],
      ['{"op":"x","a\\u0000":1}', "body.a\uFFFD"],
    ];
    for (const [body, path] of cases) {
      const answer = await rig.post("/devices/dev-1/command", body);
      const text = JSON.stringify(body);
      assert.is(answer.status, 400, text);
      assert.is(problemIn(answer).code, "BAD_REQUEST", text);
      assert.is(problemIn(answer).errors[0]?.path, path, text);
      assert.ok((problemIn(answer).errors[0]?.reason ?? "").length > 5);
    }
    for (const ttl of [1, 604_800])
      assert.is(
        (await rig.post("/devices/dev-1/command", { op: "x", ttl_s: ttl }))
          .status,
        202,
      );
    assert.is(rig.log.appended.length, 2);
  }),
);

giving("takes JSON only, well-formed, of at most 1 MiB", () =>
  withGateway(async (rig) => {
    await bringOnline(rig, "dev-1");
    const url = "/devices/dev-1/command";
    const send = async (type: string | null, payload: string) => {
      const response = await rig.app.inject({
        method: "POST",
        url,
        payload,
        headers: type === null ? {} : { "content-type": type },
      });
      const body = response.json<{ code: string; status: number }>();
      assert.match(
        String(response.headers["content-type"]),
        "application/problem+json",
      );
      assert.is(body.status, response.statusCode);
      return `${response.statusCode} ${body.code}`;
    };
    const json = "application/json";
    assert.is(await send(json, "{broken"), "400 BAD_REQUEST");
    assert.is(await send(json, ""), "400 BAD_REQUEST");
    assert.is(await send(json, '{"op":"x","__proto__":{}}'), "400 BAD_REQUEST");
    assert.is(await send("text/xml", "<op/>"), "415 UNSUPPORTED_MEDIA_TYPE");
    assert.is(
      await send(json, `{"op":"${"x".repeat(1_048_576)}"}`),
      "413 TOO_LARGE",
    );
    assert.is(rig.log.appended.length, 0);
  }),
);

giving.run();
