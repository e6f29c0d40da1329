import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { EventRecord } from "../../src/ports.js";
import { NOW_US, problemIn, withGateway } from "../support/gateway-rig.js";

const test = suite("GET /devices/:id/events");

const event = (second: number, mark: number): EventRecord => ({
  timeUs: NOW_US + second * 1_000_000,
  hash: String(mark).padStart(64, "0"),
  payload: `{"mark":${mark}, "n":12345678901234567890}`,
  receivedUs: NOW_US,
});
interface Page {
  readonly events: { readonly payload: { mark: number } }[];
  readonly next: string | null;
}
const marks = (page: unknown) =>
  (page as Page).events.map(({ payload }) => payload.mark);

test("newest first with the device's own text, page after page, also within one instant", () =>
  withGateway(async (rig) => {
    rig.records.happened.set("dev-1", [
      event(-3, 1),
      event(-2, 2),
      event(-2, 3),
      event(-2, 4),
      event(-1, 5),
    ]);
    const whole = await rig.get("/api/v1/devices/dev-1/events");
    assert.is(whole.status, 200);
    assert.match(
      whole.text,
      '{"time":"2026-01-15T09:59:59.000Z","received_at":"2026-01-15T10:00:00.000Z","payload":{"mark":5, "n":12345678901234567890}}',
    );
    assert.equal(marks(whole.body), [5, 4, 3, 2, 1]);
    assert.is((whole.body as Page).next, null);
    const seen: number[] = [];
    let next: string | null = "";
    while (next !== null) {
      const more: string = next === "" ? "" : `&cursor=${next}`;
      const page = await rig.get(`/devices/dev-1/events?limit=2${more}`);
      seen.push(...marks(page.body));
      next = (page.body as Page).next;
    }
    assert.equal(seen, [5, 4, 3, 2, 1]);
  }));

test("`from` and `to` are both in", () =>
  withGateway(async (rig) => {
    rig.records.happened.set("dev-1", [
      event(-3, 1),
      event(-2, 2),
      event(-1, 3),
    ]);
    const ask = async (query: string) =>
      marks((await rig.get(`/devices/dev-1/events?${query}`)).body);
    assert.equal(await ask("from=2026-01-15T09:59:58Z"), [3, 2]);
    assert.equal(await ask("to=2026-01-15T09:59:58Z"), [2, 1]);
  }));

test("a device that nobody has seen is a 404, a time or cursor that is none a 400 that says so", () =>
  withGateway(async (rig) => {
    const unknown = await rig.get("/devices/nobody/events");
    assert.equal(
      [unknown.status, problemIn(unknown).code],
      [404, "DEVICE_UNKNOWN"],
    );
    for (const [query, path] of [
      ["from=yesterday", "query.from"],
      ["to=soon", "query.to"],
      ["cursor=1_x", "query.cursor"],
      [`cursor=${"9".repeat(18)}_${"a".repeat(64)}`, "query.cursor"],
      ["limit=0", "query.limit"],
    ]) {
      const answer = await rig.get(`/devices/dev-1/events?${query}`);
      assert.is(answer.status, 400, query);
      assert.is(problemIn(answer).errors[0]?.path, path);
    }
  }));

test.run();
