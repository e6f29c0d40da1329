/** What dashboards and alerts ask for is there: every role's real /metrics, and every table's statement on a real database. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import pg from "pg";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { withRunning } from "../support/fleet.js";
import {
  metricsIn,
  panelQueries,
  panelStatements,
  rules,
} from "../support/operations.js";
import { until } from "../support/wait.js";

const test = suite("metrics of a running system");

/** A page of documents names a metric as `name`; these are how ours begin. */
const OURS =
  /^(ingest|consumer|devices?|presence|bridges?|actors?|flush|commands?|lanes?|rebuild|lost|mqtt|claims?|failures|ready|store|database|aggregate|object_store|dependency|http|process|nodejs)_[a-z_]+(?:_total|_seconds|_bytes|_size|_messages)$/;

/** Names that documents speak of as `name` or `name{label="…"}`. */
function metricsInPages(): { where: string; metric: string }[] {
  const pages = [
    "README.md",
    "deploy/runbook.md",
    "deploy/decisions/0006-presence.md",
    "deploy/decisions/0007-device-credentials.md",
  ];
  return pages.flatMap((page) =>
    [
      ...readFileSync(resolve(page), "utf8").matchAll(
        /`([a-z_]+)(?:\{[^`]*\})?`/g,
      ),
    ]
      .filter(([, name]) => OURS.test(name!))
      .map(([, metric]) => ({ where: page, metric: metric! })),
  );
}

/** Statements run as a log-in such as Grafana's: a member of twinstream_operator and nothing else. */
async function asGrafana(
  url: string,
  owner: pg.Client,
  work: (client: pg.Client) => Promise<void>,
): Promise<void> {
  await owner.query(
    "CREATE ROLE grafana_test LOGIN PASSWORD 'grafana-test' IN ROLE twinstream_operator",
  );
  const address = new URL(url);
  address.username = "grafana_test";
  address.password = "grafana-test";
  const client = new pg.Client({ connectionString: address.href });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

test("each role answers with every metric that rules, panels and documents name", () =>
  withRunning({}, async (running) => {
    const processor = await running.start("processor");
    const bridge = await running.start("bridge");
    const gateway = await running.start("gateway");
    const worker = await running.start("worker");
    const roles = [processor, bridge, gateway, worker];
    await running.simulate([
      "--devices",
      "5",
      "--rate",
      "100",
      "--messages",
      "100",
    ]);
    await running.settled();
    await until(async () => (await gateway.metric("devices_known")) >= 5, {
      withinMs: 60_000,
      what: "the gateway to have read how the store stands",
    });

    const recorded = new Set(rules().recordings.map(({ record }) => record));
    const named = new Map<string, string>();
    for (const { where, expr } of [
      ...panelQueries(),
      ...rules().alerts.map(({ alert, expr }) => ({ where: alert, expr })),
      ...rules().recordings.map(({ record, expr }) => ({
        where: record,
        expr,
      })),
    ])
      for (const { metric } of metricsIn(expr))
        if (!recorded.has(metric) && metric !== "up" && metric !== "ALERTS")
          named.set(metric, where);
    for (const { metric, where } of metricsInPages()) named.set(metric, where);
    assert.ok(named.size > 60, `only ${named.size} metrics are named`);
    for (const role of roles) {
      const text = await (await fetch(`${role.metricsUrl}/metrics`)).text();
      const there = new Set(
        [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name),
      );
      for (const [metric, where] of named)
        assert.ok(
          there.has(metric) ||
            there.has(metric.replace(/_(bucket|sum|count)$/, "")),
          `${where} names ${metric}, which is not on /metrics`,
        );
    }

    // What only a system that runs can show: the gauges have values.
    assert.ok((await gateway.metric("database_bytes")) > 1e6);
    assert.ok((await gateway.metric("store_chunks", 'kind="row"')) >= 1);
    assert.is(await gateway.metric("dependency_up", 'part="redis"'), 1);
    assert.is(await gateway.metric("object_store_objects"), 0);
    assert.ok((await gateway.metric("object_store_free_bytes")) > 0);
    assert.is(await gateway.metric("claims_open"), 0);
    assert.is(await gateway.metric("ready", 'part="gateway"'), 1);
    assert.is(await processor.metric("ready", 'part="processor"'), 1);
    assert.is(await processor.metric("consumer_behind_seconds"), 0);
    assert.ok((await fetch(`${running.http}/devices/nobody-knows`)).status > 0);
    await until(
      async () =>
        (await gateway.metric("http_requests_total", "/devices/:id")) > 0,
      { withinMs: 5000, what: "a request to be counted by its route" },
    );

    await asGrafana(
      running.env["DATABASE_URL"]!,
      running.database,
      async (client) => {
        const statements = panelStatements();
        assert.ok(statements.length > 5);
        for (const { where, sql } of statements)
          await client.query(sql).catch((error: unknown) => {
            throw new Error(`${where}: ${String(error)}\n${sql}`);
          });
        const { rows } = await client.query(
          "SELECT count(*)::int AS n FROM telemetry_data",
        );
        assert.ok((rows[0] as { n: number }).n > 0, "it sees no rows");
      },
    );
  }));

test.run();
