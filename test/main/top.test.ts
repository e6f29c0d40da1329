/** What `twinstream top` makes of two looks, and how it is laid out. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { figuresOf } from "../../src/main/top/figures.js";
import { frameOf } from "../../src/main/top/frame.js";
import type { Look } from "../../src/main/top/look.js";
import {
  quantileOf,
  readScrape,
  riseOf,
  sumOf,
} from "../../src/main/scrape.js";

const top = suite("top");

const scrapeAt = (n: number) =>
  readScrape(`# HELP ingest_points_total Readings
# TYPE ingest_points_total counter
ingest_points_total ${n * 40}
ingest_errors_total{reason="parse_error"} ${n}
ingest_errors_total{reason="too \\"old\\", really"} ${n}
flush_seconds_bucket{le="0.01",store="redis"} ${n * 90}
flush_seconds_bucket{le="0.1",store="redis"} ${n * 100}
flush_seconds_bucket{le="+Inf",store="redis"} ${n * 100}
flush_seconds_bucket{le="0.01",store="database"} 0
flush_seconds_bucket{le="0.1",store="database"} 0
flush_seconds_bucket{le="+Inf",store="database"} ${n}
actors_alive 1000
process_resident_memory_bytes 1.048576e+08
process_cpu_seconds_total ${n}
`);

const lookAt = (n: number): Look => ({
  atMs: Date.UTC(2026, 0, 1) + n * 2000,
  groups: [
    {
      group: "twinstream-processor",
      state: "Stable",
      members: [],
      partitions: [0, 1].map((partition) => ({
        topic: "iot-data",
        partition,
        committed: 100 * n,
        low: 0,
        high: 100 * n + 50 * partition,
        lag: 50 * partition,
        client: partition === 0 ? "p-1" : null,
      })),
    },
  ],
  stores: [
    { store: "log", pingMs: 2, trouble: null },
    { store: "redis", pingMs: 1, trouble: null },
    { store: "database", pingMs: null, trouble: "does not answer" },
  ],
  processes: [
    {
      name: "processor",
      url: "http://p",
      scrape: scrapeAt(n),
      trouble: null,
      answers: true,
    },
  ],
  devices: Array.from({ length: 30 }, (_, i) => ({
    address: `dev-${i}`,
    messages: 30 - i,
    bytes: 1000,
    delayMs: i === 7 ? 90_000 : i === 8 ? null : i,
  })),
  records: 930,
  sampled: 465,
});

top("a scrape is read with its labels, summed and compared", () => {
  const [one, two] = [scrapeAt(1), scrapeAt(3)];
  assert.is(sumOf(two, "ingest_errors_total"), 6);
  assert.is(sumOf(two, "ingest_errors_total", { reason: "parse_error" }), 3);
  assert.is(riseOf(one, two, "ingest_points_total"), 80);
  assert.is(riseOf(two, one, "ingest_points_total"), 40, "begun anew");
  const redis = (q: number) =>
    quantileOf(one, two, "flush_seconds", q, { store: "redis" });
  assert.is(redis(0.5), 0.01);
  assert.is(redis(0.99), 0.1);
  assert.is(quantileOf(two, two, "flush_seconds", 0.5), null);
  assert.is(
    quantileOf(one, two, "flush_seconds", 0.5, { store: "database" }),
    Number.POSITIVE_INFINITY,
  );
});

top(
  "two looks make rates, lag, latencies, and devices by what they say",
  () => {
    const figures = figuresOf(lookAt(1), lookAt(2));
    assert.is(figures.seconds, 2);
    assert.is(figures.rates.in, 465);
    assert.is(figures.rates.stored, 100);
    assert.is(figures.rates.points, 20);
    assert.is(figures.rates.dead_letters, 1);
    assert.is(figures.lag, 50);
    assert.is(figures.actors, 1000);
    assert.equal(
      figures.partitions.map(({ partition }) => partition),
      ["iot-data/1", "iot-data/0"],
      "the one that is behind comes first",
    );
    assert.is(figures.partitions[1]!.stored_per_s, 50);
    const { cpu_percent: cpu, resident_mib: resident } = figures.processes[0]!;
    assert.equal([cpu, resident], [50, 100]);
    assert.equal(figures.busiest[0], {
      device: "dev-0",
      messages_per_s: 30,
      bytes_per_s: 1000,
    });
    assert.equal(figures.slowest[0], { device: "dev-7", delay_ms: 90_000 });
    assert.ok(figures.slowest.every(({ device }) => device !== "dev-8"));
    assert.equal(
      JSON.parse(JSON.stringify(figures)).stores[2].trouble,
      "does not answer",
    );
  },
);

top("a process that was not there yet makes no rate", () => {
  const before = { ...lookAt(1), processes: [] };
  const figures = figuresOf(before, lookAt(2));
  assert.is(figures.rates.points, 0);
  assert.is(figures.processes[0]!.cpu_percent, 0);
});

top("the frame fits the screen, and says what it leaves out", () => {
  const figures = figuresOf(lookAt(1), lookAt(2));
  for (const [columns, rows] of [
    [80, 24],
    [200, 60],
    [40, 10],
  ] as const) {
    const lines = frameOf(figures, { columns, rows });
    assert.ok(lines.length <= rows, `${lines.length} of ${rows} rows`);
    assert.ok(lines.every((line) => line.length <= columns));
  }
  const small = frameOf(figures, { columns: 80, rows: 24 }).join("\n");
  assert.match(small, "stored 100/s");
  assert.match(small, "database  AWAY");
  assert.match(small, "more (--json has all)");
  const whole = frameOf(figures, { columns: 200, rows: 0 }).join("\n");
  assert.match(whole, "dev-7");
  assert.match(whole, "nobody");
  assert.not.match(whole, "more (--json has all)");
});

top.run();
