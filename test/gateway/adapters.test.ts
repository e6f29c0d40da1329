import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import {
  answerOf,
  type GatewayRig,
  problemIn,
  withGateway,
} from "../support/gateway-rig.js";

const test = suite("adapters over HTTP");

async function put(rig: GatewayRig, id: string, payload: object) {
  const url = `/devices/${id}/adapter`;
  return answerOf(await rig.app.inject({ method: "PUT", url, payload }));
}

test("they are listed with what they read", () =>
  withGateway(async (rig) => {
    const { body } = await rig.get("/api/v1/adapters");
    const { adapters } = body as {
      adapters: { name: string; version: number; title: string }[];
    };
    assert.ok(adapters.length >= 4);
    for (const { name, version, title } of adapters)
      assert.ok(version >= 1 && title.length > 5, name);
  }));

test("a device is registered, asked about and let go", () =>
  withGateway(async (rig) => {
    await rig.view.putOnline({ "plug-7": 1_768_471_200 });
    const url = "/devices/plug-7/adapter";
    assert.equal((await rig.get(url)).body, {
      device_id: "plug-7",
      adapter: null,
    });
    const set = await put(rig, "plug-7", { adapter: "tasmota" });
    assert.is(set.status, 200, set.text);
    assert.equal(set.body, { device_id: "plug-7", adapter: "tasmota" });
    assert.equal((await rig.get(url)).body, set.body);
    const audited = rig.observer.events.find(({ type }) => type === "audit");
    assert.is(audited?.type === "audit" && audited.act, "adapter set");
    for (const again of [1, 2]) {
      const gone = answerOf(await rig.app.inject({ method: "DELETE", url }));
      assert.is(gone.status, 200, `${again}`);
    }
    assert.is(rig.adapters.registered.size, 0);
  }));

test("what is no adapter, and a device that nobody has seen, are refused", () =>
  withGateway(async (rig) => {
    await rig.view.putOnline({ "plug-7": 1_768_471_200 });
    for (const body of [{ adapter: "tasmotta" }, { adapter: 7 }, {}]) {
      const refused = await put(rig, "plug-7", body);
      assert.is(refused.status, 400);
      assert.match(problemIn(refused).errors[0]!.path, "body");
    }
    const unknown = await put(rig, "nobody", { adapter: "tasmota" });
    assert.is(unknown.status, 404);
    assert.is(problemIn(unknown).code, "DEVICE_UNKNOWN");
    assert.is((await rig.get("/devices/nobody/adapter")).status, 404);
    assert.is(rig.adapters.registered.size, 0);
    rig.adapters.fail = new TwinstreamError("STORE_UNREACHABLE", "away");
    assert.is((await put(rig, "plug-7", { adapter: "v1" })).status, 503);
  }));

test.run();
