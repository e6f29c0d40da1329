import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TwinstreamError } from "../../src/errors.js";
import {
  type GatewayRig,
  NOW_S,
  NOW_US,
  problemIn,
  withGateway,
} from "../support/gateway-rig.js";
import { until } from "../support/wait.js";

const MINUTE_US = 60_000_000;
const HOUR_US = 60 * MINUTE_US;
const DAY_US = 24 * HOUR_US;
const PATH = "/analytics/equipment/dev-1/history";

interface Shown {
  readonly equip_uuid: string;
  readonly resolution: string;
  readonly from: string;
  readonly to: string;
  readonly series: readonly {
    readonly sensor_uuid: string;
    readonly interval_s?: number | null;
    readonly readings?: readonly { ts: string; value: unknown }[];
    readonly buckets?: readonly Record<string, number | string | null>[];
  }[];
  readonly left_out: readonly string[];
  readonly next: string | null;
}

async function ask(rig: GatewayRig, query = ""): Promise<Shown> {
  const answer = await rig.get(`${PATH}${query}`);
  assert.is(answer.status, 200, answer.text);
  return answer.body as Shown;
}

/** A value a minute over this long, up to a minute ago. */
const minutely = (spanUs: number): (readonly [number, number])[] =>
  Array.from({ length: spanUs / MINUTE_US }, (_, i) => [
    NOW_US - spanUs + i * MINUTE_US,
    i % 7,
  ]);

const history = suite("GET /analytics/equipment/:uuid/history");

history("shows the last day, at the finest level that fits", () =>
  withGateway(async (rig) => {
    const [temp = 0] = rig.analytics.addDevice("dev-1", [["temp", "num"]]);
    rig.analytics.put(temp, minutely(4 * DAY_US));
    for (const [query, level, rows] of [
      ["", "raw", 1440],
      ["?from=2026-01-12T10:00:00Z", "hour", 72],
      ["?from=2025-09-01T00:00:00Z", "day", 5],
      ["?resolution=day", "day", 2],
      ["?resolution=hour", "hour", 24],
    ] as const) {
      const shown = await ask(rig, query);
      assert.is(shown.resolution, level, query);
      const [series] = shown.series;
      assert.is((series?.readings ?? series?.buckets)?.length, rows, query);
      assert.is(shown.next, null);
    }
    const day = await ask(rig);
    assert.is(day.from, "2026-01-14T10:00:00.000Z");
    assert.is(day.to, "2026-01-15T10:00:00.000Z");
    assert.equal(
      (await rig.get(`/api/v1${PATH}`)).body,
      day,
      "the same under /api/v1",
    );
  }),
);

history("has the shape of the contracts", () =>
  withGateway(async (rig) => {
    const [temp = 0, on = 0, status = 0] = rig.analytics.addDevice("dev-1", [
      ["temp", "num"],
      ["on", "bool"],
      ["status", "text"],
    ]);
    const from = NOW_US - 2 * HOUR_US;
    rig.analytics.put(
      temp,
      [4, 1, 3, 2, 10].map((value, i) => [from + i * 12 * MINUTE_US, value]),
    );
    rig.analytics.put(on, [
      [from, 1],
      [from + 1, 0],
    ]);
    rig.analytics.put(status, [[from, "RUN"]]);
    const raw = await ask(rig, "?resolution=raw");
    assert.equal(
      raw.series.map(({ sensor_uuid: name, readings }) => [
        name,
        readings?.[0],
      ]),
      [
        ["temp", { ts: "2026-01-15T08:00:00.000Z", value: 4 }],
        ["on", { ts: "2026-01-15T08:00:00.000Z", value: true }],
        ["status", { ts: "2026-01-15T08:00:00.000Z", value: "RUN" }],
      ],
    );
    const hours = await ask(rig, "?resolution=hour");
    assert.equal(hours.left_out, ["status"]);
    assert.equal(hours.series, [
      {
        sensor_uuid: "temp",
        sensor_tipo: "num",
        type_class: "num",
        unit: "°C",
        interval_s: 720,
        buckets: [
          {
            bucket: "2026-01-15T08:00:00.000Z",
            avg_value: 4,
            max_value: 10,
            min_value: 1,
            sample_count: 5,
            stddev_value: Math.sqrt(50 / 4),
            median_value: 3,
            // As percentile_cont does it: between the fourth and the fifth value.
            p95_value: 4 + ((0.95 * 4) % 1) * 6,
            p99_value: 4 + ((0.99 * 4) % 1) * 6,
            completeness: 1,
          },
        ],
      },
      {
        sensor_uuid: "on",
        sensor_tipo: "bool",
        type_class: "bool",
        unit: null,
        interval_s: null,
        buckets: [
          {
            bucket: "2026-01-15T08:00:00.000Z",
            avg_value: 0.5,
            max_value: 1,
            min_value: 0,
            sample_count: 2,
            stddev_value: Math.SQRT1_2,
            median_value: 0.5,
            p95_value: 0.95,
            p99_value: 0.99,
            completeness: null,
          },
        ],
      },
    ]);
    assert.is((await ask(rig, "?sensor=status")).resolution, "raw");
    assert.is(
      (await rig.get(`${PATH}?sensor=status&resolution=hour`)).status,
      400,
    );
  }),
);

history("pages through every row once, while others arrive", () =>
  withGateway(async (rig) => {
    const ids = rig.analytics.addDevice("dev-1", [
      ["a", "num"],
      ["none", "num"],
      ["b", "num"],
    ]);
    rig.analytics.put(ids[0]!, minutely(20 * MINUTE_US));
    rig.analytics.put(ids[2]!, minutely(13 * MINUTE_US));
    for (const query of ["resolution=raw", "from=1768384800&resolution=hour"]) {
      const seen: string[] = [];
      const names = new Set<string>();
      let next: string | null = "";
      for (let page = 0; next !== null && page < 20; page++) {
        const cursor: string = next === "" ? "" : `&cursor=${next}`;
        const shown = await ask(rig, `?limit=5&${query}${cursor}`);
        for (const { sensor_uuid: name, readings, buckets } of shown.series) {
          names.add(name);
          for (const row of readings ?? buckets ?? [])
            seen.push(`${name} ${"ts" in row ? row.ts : row["bucket"]}`);
        }
        // Later than `to` of the first page, so that no page shows it.
        rig.time.nowMs += 1000;
        rig.analytics.put(ids[0]!, [[rig.time.nowMs * 1000 - 1, 5]]);
        next = shown.next;
      }
      rig.time.nowMs = NOW_US / 1000;
      assert.is(next, null);
      assert.is(new Set(seen).size, seen.length, "none twice");
      assert.is(seen.length, query === "resolution=raw" ? 33 : 2);
      assert.equal([...names], ["a", "none", "b"], "also what has no rows");
    }
  }),
);

history("a device of very many sensors is shown a hundred at a time", () =>
  withGateway(async (rig) => {
    const ids = rig.analytics.addDevice(
      "dev-1",
      Array.from({ length: 250 }, (_, i) => [`s${i}`, "num"] as const),
    );
    for (const id of ids) rig.analytics.put(id, [[NOW_US - 1, id]]);
    const names: string[] = [];
    let next: string | null = "";
    for (let page = 0; next !== null && page < 9; page++) {
      const shown: Shown = await ask(rig, next === "" ? "" : `?cursor=${next}`);
      names.push(...shown.series.map((one) => one.sensor_uuid));
      next = shown.next;
    }
    assert.equal(
      names,
      ids.map((_, i) => `s${i}`),
    );
    const csv = await rig.get(PATH, { accept: "text/csv" });
    assert.is(csv.text.split("\r\n").length, 1 + 250 + 1);
  }),
);

history("joins what only Redis has, each reading once", () =>
  withGateway(async (rig) => {
    const [temp = 0] = rig.analytics.addDevice("dev-1", [
      ["temp", "num"],
      ["on", "bool"],
    ]);
    const at = (agoS: number) => (NOW_S - agoS) * 1e6;
    rig.analytics.put(temp, [
      [at(400), 1],
      [at(300), 2],
      [at(100), 4],
    ]);
    const message = (agoS: number, payload: object) =>
      JSON.stringify({
        device_id: "dev-1",
        payload,
        timestamp: NOW_S - agoS,
      });
    await rig.view.putHistory("dev-1", [
      message(300, { temp: 99 }),
      message(250, { temp: 1e200 }),
      message(200, { temp: 3 }),
      message(50, { temp: 5, on: true, unknown: 1 }),
      message(40, {
        schema: "bulk_v1",
        claim_id: "c",
        points: [{ name: "temp", t: "num", v: 7 }],
      }),
      message(30, { schema: "nobody_knows", temp: 8 }),
    ]);
    const { series } = await ask(rig);
    assert.equal(
      series.map(({ readings }) => readings?.map(({ value }) => value)),
      [[1, 2, 3, 4, 5], [true]],
    );
    assert.equal(
      (await ask(rig, `?limit=4&to=${NOW_S - 150}`)).series[0]?.readings
        ?.length,
      3,
    );
    rig.view.calls.length = 0;
    await ask(rig, `?resolution=raw&to=${NOW_S - 6 * 3600}`);
    assert.equal(rig.view.calls, [], "Redis is not asked for what it has not");
  }),
);

history("refuses what it cannot read, naming the field", () =>
  withGateway(async (rig) => {
    rig.analytics.addDevice("dev-1", [["temp", "num"]]);
    const ok = await ask(rig, "?limit=1");
    assert.is(ok.next, null);
    for (const [query, path] of [
      ["?from=yesterday", "query.from"],
      ["?to=1e9", "query.to"],
      ["?from=2026-01-15&to=2026-01-14", "query.from"],
      ["?resolution=minute", "query.resolution"],
      ["?limit=0", "query.limit"],
      ["?limit=1e99", "query.limit"],
      ["?cursor=nonsense", "query.cursor"],
      [
        `?cursor=${Buffer.from("12345678 r 1 2 3 4").toString("base64url")}`,
        "query.cursor",
      ],
      ["?sensor=", "query.sensor"],
      ["?sensor=%00", "query.sensor"],
      [`?${"sensor=a&".repeat(33)}`, "query.sensor"],
    ] as const) {
      const answer = await rig.get(`${PATH}${query}`);
      assert.is(answer.status, 400, `${query}: ${answer.text}`);
      assert.ok(
        problemIn(answer).errors.some((error) => error.path === path),
        `${query}: ${answer.text}`,
      );
    }
    assert.is((await rig.get(`${PATH}?sensor=ghost`)).status, 404);
    const ghost = await rig.get("/analytics/equipment/ghost/history");
    assert.is(problemIn(ghost).code, "DEVICE_UNKNOWN");
    assert.is(
      (await rig.get("/analytics/equipment/a%2Fb/history")).status,
      400,
    );
    // Times at the ends of what can be said do no harm.
    for (const query of [
      "?from=0000-01-01&to=9999-12-31",
      `?to=${"9".repeat(60)}`,
      `?from=0&to=${"9".repeat(40)}.5`,
    ])
      assert.is((await rig.get(`${PATH}${query}`)).status, 200, query);
  }),
);

history("a cursor of another question is refused", () =>
  withGateway(async (rig) => {
    const [temp = 0] = rig.analytics.addDevice("dev-1", [["temp", "num"]]);
    rig.analytics.addDevice("dev-2", [["temp", "num"]]);
    rig.analytics.put(temp, minutely(DAY_US));
    const { next } = await ask(rig, "?limit=5&sensor=temp");
    assert.type(next, "string");
    assert.is(
      (await rig.get(`${PATH}?limit=9&sensor=temp&cursor=${next}`)).status,
      200,
    );
    for (const url of [
      `${PATH}?cursor=${next}`,
      `${PATH}?sensor=temp&resolution=day&cursor=${next}`,
      `/analytics/equipment/dev-2/history?sensor=temp&cursor=${next}`,
    ]) {
      const answer = await rig.get(url);
      assert.is(answer.status, 400, url);
      assert.match(problemIn(answer).detail, "another question");
    }
  }),
);

history("another tenant's device is not known", () =>
  withGateway(async (rig) => {
    rig.analytics.addDevice("dev-1", [["temp", "num"]], "acme");
    assert.is((await rig.get(PATH)).status, 404);
  }),
);

history("a database that is away is 503", () =>
  withGateway(async (rig) => {
    rig.analytics.fail = new TwinstreamError("STORE_UNREACHABLE");
    for (const accept of ["application/json", "text/csv"]) {
      const answer = await rig.get(PATH, { accept });
      assert.is(answer.status, 503);
      assert.is(problemIn(answer).code, "STORE_UNREACHABLE");
    }
  }),
);

const csv = suite("the history as CSV");

csv("has a header line, CRLF, and quotes where they are needed", () =>
  withGateway(async (rig) => {
    const [temp = 0, status = 0, on = 0] = rig.analytics.addDevice("dev-1", [
      ['te,"mp', "num"],
      ["status", "text"],
      ["on", "bool"],
    ]);
    rig.analytics.put(temp, [[NOW_US - 5, 1.5]]);
    rig.analytics.put(status, [
      [NOW_US - 4, 'a "b",\nc'],
      [NOW_US - 3, ""],
    ]);
    rig.analytics.put(on, [[NOW_US - 2, 0]]);
    const answer = await rig.get(PATH, { accept: "text/csv" });
    assert.is(answer.status, 200);
    assert.match(String(answer.headers["content-type"]), /^text\/csv/);
    assert.is(
      answer.text,
      [
        "equip_uuid,sensor_uuid,sensor_tipo,unit,ts,value",
        'dev-1,"te,""mp",num,°C,2026-01-15T09:59:59.999995Z,1.5',
        'dev-1,status,text,,2026-01-15T09:59:59.999996Z,"a ""b"",\nc"',
        'dev-1,status,text,,2026-01-15T09:59:59.999997Z,""',
        "dev-1,on,bool,,2026-01-15T09:59:59.999998Z,false",
        "",
      ].join("\r\n"),
    );
    const hours = await rig.get(`${PATH}?resolution=hour`, {
      accept: "text/csv",
    });
    assert.equal(hours.text.split("\r\n").slice(0, 2), [
      "equip_uuid,sensor_uuid,sensor_tipo,unit,bucket,avg_value,max_value,min_value,sample_count,stddev_value,median_value,p95_value,p99_value,completeness",
      'dev-1,"te,""mp",num,°C,2026-01-15T09:00:00.000Z,1.5,1.5,1.5,1,,1.5,1.5,1.5,',
    ]);
  }),
);

csv(
  "rows are fetched only as the client takes them, and no more once it has left",
  () =>
    withGateway(async (rig) => {
      const [text = 0] = rig.analytics.addDevice("dev-1", [["text", "text"]]);
      const batches = 400;
      rig.analytics.put(
        text,
        Array.from({ length: 7 * batches }, (_, i) => [
          NOW_US - DAY_US + i,
          "x".repeat(4000),
        ]),
      );
      let fetched = 0;
      rig.analytics.onBatch = () => (fetched += 1);
      const address = await rig.app.listen({ host: "127.0.0.1", port: 0 });
      const leaving = new AbortController();
      const answer = await fetch(address + PATH, {
        headers: { accept: "text/csv" },
        signal: leaving.signal,
      });
      const reader = answer.body!.getReader();
      await reader.read();
      // Sockets and streams hold some; 11 MB do not fit in them.
      let last = -1;
      await until(
        async () => {
          const still = fetched === last;
          last = fetched;
          return still;
        },
        { withinMs: 5000, what: "fetching to stop" },
      );
      assert.ok(fetched > 0 && fetched < batches, `${fetched} of ${batches}`);
      leaving.abort();
      await reader.read().catch(() => undefined);
      // The next request goes through although four at a time are all there may be.
      for (let i = 0; i < 5; i++) {
        const other = await fetch(`${address}${PATH}?from=2020`, {
          headers: { accept: "text/csv" },
        });
        await other.body!.cancel();
      }
    }),
);

csv("a fifth export at a time is refused", () =>
  withGateway(async (rig) => {
    const [temp = 0] = rig.analytics.addDevice("dev-1", [["temp", "num"]]);
    rig.analytics.put(temp, minutely(HOUR_US));
    let open: () => void = () => undefined;
    const closed = new Promise<void>((resolve) => {
      open = resolve;
    });
    const stream = rig.analytics.streamReadings;
    rig.analytics.streamReadings = async (...given) => {
      await closed;
      return stream(...given);
    };
    const four = Array.from({ length: 4 }, () =>
      rig.get(PATH, { accept: "text/csv" }),
    );
    const refused = await until(
      async () => {
        const answer = await rig.get(`${PATH}`, { accept: "text/csv" });
        return answer.status === 503 ? answer : null;
      },
      { withinMs: 5000, what: "an export to be refused" },
    );
    assert.is(problemIn(refused).code, "TOO_SLOW");
    open();
    for (const answer of await Promise.all(four)) assert.is(answer.status, 200);
  }),
);

csv("a failure in the middle cuts the answer short", () =>
  withGateway(async (rig) => {
    const [temp = 0] = rig.analytics.addDevice("dev-1", [["temp", "num"]]);
    rig.analytics.put(temp, minutely(HOUR_US));
    let batches = 0;
    rig.analytics.onBatch = () => {
      if (++batches === 3) throw new TwinstreamError("STORE_UNREACHABLE");
    };
    const address = await rig.app.listen({ host: "127.0.0.1", port: 0 });
    const whole = fetch(address + PATH, { headers: { accept: "text/csv" } });
    const outcome = await whole
      .then((answer) => answer.text())
      .then(
        () => "whole",
        () => "broken",
      );
    assert.is(outcome, "broken");
    assert.ok(
      rig.observer.events.some(
        (event) => event.type === "failure" && /CSV/.test(event.where),
      ),
    );
  }),
);

history.run();
csv.run();
