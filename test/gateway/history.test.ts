import { suite } from "uvu";
import * as assert from "uvu/assert";
import { fullMessage } from "../support/memory-readers.js";
import {
  type GatewayRig,
  NOW_S,
  NOW_US,
  problemIn,
  withGateway,
} from "../support/gateway-rig.js";

const SECOND_US = 1_000_000;

const history = suite("GET /devices/:id/history");

async function fill(rig: GatewayRig, agoS: readonly number[]): Promise<void> {
  const messages = agoS.map((ago, i) =>
    fullMessage("dev-1", NOW_US - ago * SECOND_US, { i }),
  );
  await rig.view.putHistory("dev-1", messages);
}

interface Page {
  device_id: string;
  messages: { timestamp: number; payload: { i: number } }[];
  next: string | null;
}

history("gives the last five hours, oldest first", () =>
  withGateway(async (rig) => {
    await fill(rig, [10, 18_001, 17_999, 3600]);
    const answer = await rig.get("/devices/dev-1/history");
    assert.is(answer.status, 200);
    assert.equal(answer.body, {
      device_id: "dev-1",
      messages: [2, 3, 0].map((i) => ({
        device_id: "dev-1",
        payload: { i },
        timestamp: NOW_S - [10, 18_001, 17_999, 3600][i]!,
      })),
      next: null,
    });
  }),
);

history("takes from and to as ISO, seconds or milliseconds, both within", () =>
  withGateway(async (rig) => {
    await fill(rig, [400, 300, 200, 100]);
    const from = NOW_S - 300;
    const to = NOW_S - 200;
    for (const form of [
      (s: number) => String(s),
      (s: number) => String(s * 1000),
      (s: number) => new Date(s * 1000).toISOString(),
    ]) {
      const answer = await rig.get(
        `/devices/dev-1/history?from=${form(from)}&to=${form(to)}`,
      );
      assert.equal(
        (answer.body as Page).messages.map((message) => message.payload.i),
        [1, 2],
      );
    }
  }),
);

history(
  "pages without loss or repetition, many at one instant, the old end trimmed meanwhile",
  () =>
    withGateway(async (rig) => {
      const ago = [90, 80, 80, 80, 80, 80, 70, 60, 60, 50];
      const almostGone = 17_900;
      await fill(
        rig,
        ago.map((s) => s + almostGone),
      );
      const seen: number[] = [];
      let next: string | null = "";
      let pages = 0;
      while (next !== null) {
        const cursor: string = next === "" ? "" : `&cursor=${next}`;
        const page = (await rig.get(`/devices/dev-1/history?limit=2${cursor}`))
          .body as Page;
        seen.push(...page.messages.map((message) => message.payload.i));
        next = page.next;
        // The first message is too old from here on.
        if (++pages === 2) rig.time.nowMs += 15_000;
        assert.ok(pages < 9);
      }
      assert.equal(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }),
);

history("ends a page early when its messages are large", () =>
  withGateway(async (rig) => {
    const large = "x".repeat(2_000_000);
    await rig.view.putHistory(
      "dev-1",
      Array.from({ length: 40 }, (_, i) =>
        fullMessage("dev-1", NOW_US - (100 - i) * SECOND_US, { i, large }),
      ),
    );
    const seen: number[] = [];
    let next: string | null = "";
    while (next !== null) {
      const cursor: string = next === "" ? "" : `?cursor=${next}`;
      const page = (await rig.get(`/devices/dev-1/history${cursor}`))
        .body as Page;
      assert.ok(page.messages.length < 40);
      seen.push(...page.messages.map((message) => message.payload.i));
      next = page.next;
    }
    assert.equal(
      seen,
      Array.from({ length: 40 }, (_, i) => i),
    );
  }),
);

history("reads a long history of small messages in few questions", () =>
  withGateway(async (rig) => {
    await fill(
      rig,
      Array.from({ length: 1500 }, (_, i) => 1500 - i),
    );
    const page = (await rig.get("/devices/dev-1/history")).body as Page;
    assert.is(page.messages.length, 1000);
    assert.ok(page.next !== null);
    assert.is(rig.view.calls.filter((call) => call === "history").length, 2);
  }),
);

history("is empty for a known device, 404 for an unknown one", () =>
  withGateway(async (rig) => {
    rig.records.known.push({
      deviceId: "dev-1",
      tenant: "default",
      site: null,
      online: false,
      lastSeenUs: NOW_US - 90_000 * SECOND_US,
      cause: "silence",
    });
    assert.equal((await rig.get("/devices/dev-1/history")).body, {
      device_id: "dev-1",
      messages: [],
      next: null,
    });
    const unknown = await rig.get("/devices/ghost/history");
    assert.is(problemIn(unknown).code, "DEVICE_UNKNOWN");
  }),
);

history("refuses what is no time and no cursor", () =>
  withGateway(async (rig) => {
    for (const [query, path] of [
      ["from=yesterday", "query.from"],
      ["to=2026-13-01", "query.to"],
      ["cursor=x", "query.cursor"],
      ["limit=5001", "query.limit"],
    ] as const) {
      const answer = await rig.get(`/devices/dev-1/history?${query}`);
      assert.is(answer.status, 400, query);
      assert.is(problemIn(answer).errors[0]?.path, path);
    }
  }),
);
history.run();
