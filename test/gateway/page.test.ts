/** How the web page is served; what it does is the browser's test. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { PageFile, PageFiles } from "../../src/gateway/routes/page.js";
import { withAuth } from "../support/auth-rig.js";
import { problemIn, withGateway } from "../support/gateway-rig.js";

const test = suite("web page");

const file = (name: string): PageFile => ({
  plain: Buffer.from(`${name} plain`),
  br: Buffer.from(`${name} br`),
  gzip: Buffer.from(`${name} gzip`),
});
const page: PageFiles = new Map(
  ["index.html", "assets/main-ABCD.js", "assets/all-EFGH.css"].map((name) => [
    name,
    file(name),
  ]),
);

test("its document stands at / and at every address below /ui", () =>
  withGateway(
    async (rig) => {
      for (const url of [
        "/",
        "/ui",
        "/ui/devices/dev-1?range=1d",
        "/ui/x/y/z",
      ]) {
        const answer = await rig.get(url);
        assert.is(answer.status, 200, url);
        assert.is(answer.text, "index.html plain");
        assert.is(answer.headers["content-type"], "text/html; charset=utf-8");
        assert.is(answer.headers["cache-control"], "no-cache");
      }
      // The API is where it was.
      assert.is((await rig.get("/devices")).status, 200);
      assert.is((await rig.get("/nothing")).status, 404);
    },
    { deps: { page } },
  ));

test("its files are for ever, and there are no others", () =>
  withGateway(
    async (rig) => {
      const script = await rig.get("/ui/assets/main-ABCD.js");
      assert.is(
        script.headers["content-type"],
        "text/javascript; charset=utf-8",
      );
      assert.is(
        script.headers["cache-control"],
        "public, max-age=31536000, immutable",
      );
      for (const name of ["old-1234.js", "..%2Findex.html"]) {
        const answer = await rig.get(`/ui/assets/${name}`);
        assert.is(answer.status, 404, name);
        assert.is(problemIn(answer).code, "NOT_FOUND");
      }
    },
    { deps: { page } },
  ));

test("a browser gets it compressed as it can, and not again when it has it", () =>
  withGateway(
    async (rig) => {
      for (const [takes, encoding] of [
        ["gzip, deflate, br", "br"],
        ["gzip", "gzip"],
        ["identity", undefined],
      ] as const) {
        const answer = await rig.get("/", { "accept-encoding": takes });
        assert.is(answer.headers["content-encoding"], encoding);
        assert.is(answer.text, `index.html ${encoding ?? "plain"}`);
        assert.is(answer.headers["vary"], "accept-encoding");
      }
      const { headers } = await rig.get("/");
      const again = await rig.get("/", {
        "if-none-match": String(headers["etag"]),
      });
      assert.is(again.status, 304);
      assert.is(again.text, "");
    },
    { deps: { page } },
  ));

test("its policy allows nothing inline and nobody else's, and the API's stays as it is", () =>
  withGateway(
    async (rig) => {
      const { headers } = await rig.get("/");
      assert.is(
        headers["content-security-policy"],
        "default-src 'none';script-src 'self';style-src 'self';img-src 'self';connect-src 'self';base-uri 'none';form-action 'none';frame-ancestors 'none'",
      );
      assert.is(headers["x-content-type-options"], "nosniff");
      assert.is(headers["referrer-policy"], "no-referrer");
      const api = await rig.get("/devices");
      assert.is(
        api.headers["content-security-policy"],
        "default-src 'none';frame-ancestors 'none'",
      );
    },
    { deps: { page } },
  ));

test("it is there before anybody logs in, and tells what it must know for that", () =>
  withAuth(
    async (rig) => {
      assert.is((await rig.get("/")).status, 200);
      assert.is((await rig.get("/ui/assets/all-EFGH.css")).status, 200);
      assert.equal((await rig.get("/ui/gateway.json")).body, {
        auth: "on",
        history_hours: 5,
        offline_timeout_s: 60,
        raw_retention_days: 30,
      });
      assert.is((await rig.get("/devices")).status, 401);
      assert.is((await rig.post("/ui/devices", {})).status, 405);
    },
    { deps: { page } },
  ));

test("a gateway whose page was not built has none", () =>
  withGateway(async (rig) => {
    assert.is((await rig.get("/")).status, 404);
    assert.is((await rig.get("/ui/devices")).status, 404);
  }));

test.run();
