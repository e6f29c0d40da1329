/** Rules, dashboards and runbook hold together: each by its own tool's check, and all against the metrics that there are. */
import { execFile } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { Registry } from "prom-client";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parse, stringify } from "yaml";
import { createMetrics } from "../../src/observe/metrics.js";
import { createReadiness } from "../../src/observe/readiness.js";
import { exposeReadiness } from "../../src/observe/readiness-metric.js";
import {
  dashboards,
  metricsIn,
  panelQueries,
  PROMETHEUS,
  rules,
} from "../support/operations.js";

const test = suite("operations");
const run = promisify(execFile);
const PROMTOOL = "/usr/bin/promtool";
/** What Prometheus itself knows of a target, and the labels that the scrape configurations put on. */
const OF_PROMETHEUS = new Map([
  ["up", ["job", "instance", "component"]],
  ["ALERTS", ["alertname", "alertstate", "severity"]],
]);
const OF_TARGETS = ["job", "instance", "component"];

/** Metrics that a process declares, with their labels. */
function declared(): Map<string, string[]> {
  const registry = new Registry();
  createMetrics(registry);
  exposeReadiness(registry, createReadiness(["processor"]));
  const found = new Map<string, string[]>();
  for (const metric of registry.getMetricsAsArray() as unknown as {
    name: string;
    labelNames?: string[];
    constructor: { name: string };
    buckets?: unknown;
  }[]) {
    const labels = metric.labelNames ?? [];
    found.set(metric.name, labels);
    // A histogram's parts.
    for (const part of ["bucket", "sum", "count"])
      found.set(`${metric.name}_${part}`, [...labels, "le"]);
  }
  return found;
}

async function promtool(...args: string[]): Promise<string> {
  try {
    const { stdout, stderr } = await run(PROMTOOL, args);
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`promtool ${args.join(" ")}:\n${stdout}${stderr}`, {
      cause: error,
    });
  }
}

function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "twinstream-operations-"));
  return work(folder).finally(() =>
    rmSync(folder, { recursive: true, force: true }),
  );
}

/** A test that needs Prometheus' own tool, which Debian's package `prometheus` has. */
function byPromtool(name: string, work: () => Promise<void>): void {
  if (existsSync(PROMTOOL)) {
    test(name, work);
    return;
  }
  console.log(`skipped: ${name}: there is no ${PROMTOOL}`);
  test.skip(name, work);
}

byPromtool("promtool takes the rules and the configurations", async () => {
  const folder = join(PROMETHEUS, "rules");
  const files = readdirSync(folder).map((name) => join(folder, name));
  assert.match(
    await promtool("check", "rules", ...files),
    /SUCCESS: \d+ rules/,
  );
  for (const name of ["prometheus.native.yml", "prometheus.compose.yml"])
    await promtool("check", "config", join(PROMETHEUS, name));
});

byPromtool(
  "promtool takes the configuration for a cluster, but for the discovery that Debian's build leaves out",
  async () => {
    const text = readFileSync(join(PROMETHEUS, "prometheus.k8s.yml"), "utf8");
    const config = parse(text) as {
      rule_files: string[];
      scrape_configs: { kubernetes_sd_configs?: { role: string }[] }[];
    };
    for (const scrape of config.scrape_configs) {
      assert.is(scrape.kubernetes_sd_configs?.[0]?.role, "pod");
      delete scrape.kubernetes_sd_configs;
    }
    config.rule_files = [];
    await withFolder(async (dir) => {
      const file = join(dir, "prometheus.yml");
      writeFileSync(file, stringify(config));
      await promtool("check", "config", file);
    });
  },
);

byPromtool("every alert fires when it should, and only then", async () => {
  const file = join(PROMETHEUS, "tests/alerts.test.yml");
  assert.match(await promtool("test", "rules", file), /SUCCESS/);
});

test("every alert has a test in which it fires and one in which it does not", () => {
  const { tests } = parse(
    readFileSync(join(PROMETHEUS, "tests/alerts.test.yml"), "utf8"),
  ) as {
    tests: {
      alert_rule_test: { alertname: string; exp_alerts: unknown[] }[];
    }[];
  };
  const seen = new Map<string, Set<boolean>>();
  for (const { alertname, exp_alerts } of tests.flatMap(
    (one) => one.alert_rule_test,
  ))
    seen.set(
      alertname,
      (seen.get(alertname) ?? new Set()).add(exp_alerts.length > 0),
    );
  const { alerts } = rules();
  assert.ok(alerts.length > 30);
  for (const { alert } of alerts)
    assert.is(seen.get(alert)?.size, 2, `${alert} has not both tests`);
  assert.is(seen.size, alerts.length, "a test names an alert that is gone");
});

test("rules and panels name metrics and labels that a process has", () => {
  const metrics = declared();
  const { alerts, recordings } = rules();
  const recorded = new Set(recordings.map(({ record }) => record));
  const queries = [
    ...alerts.map(({ alert, expr }) => ({ where: alert, expr })),
    ...recordings.map(({ record, expr }) => ({ where: record, expr })),
    ...panelQueries(),
  ];
  assert.ok(queries.length > 100);
  let read = 0;
  for (const { where, expr } of queries)
    for (const { metric, labels } of metricsIn(expr)) {
      read += 1;
      if (recorded.has(metric)) continue;
      const own = OF_PROMETHEUS.get(metric) ?? metrics.get(metric);
      assert.ok(own, `${where} names ${metric}, which no process has`);
      for (const label of labels)
        assert.ok(
          own!.includes(label) || OF_TARGETS.includes(label),
          `${where} names label ${label} of ${metric}, which has ${own!.join()}`,
        );
    }
  assert.ok(read > 150, `only ${read} metrics were read`);
});

test("no metric has a label whose values are devices or tenants", () => {
  for (const [name, labels] of declared())
    for (const label of labels)
      assert.not.match(label, /device|tenant|address|cmd_?id|claim|user/, name);
});

test("the reader of queries is not fooled by what is no metric", () => {
  assert.equal(
    metricsIn(
      'sum by (le) (rate(a_total{on="x y", b!~"z"}[5m:1m])) > 0.5 * c_max and on (d) e offset 1h or 1e9 < scalar(max(f > 2))',
    ),
    [
      { metric: "a_total", labels: ["on", "b"] },
      { metric: "c_max", labels: [] },
      { metric: "e", labels: [] },
      { metric: "f", labels: [] },
    ],
  );
});

test("every alert leads to a section of the runbook, and every section of it is short of nothing", () => {
  const text = readFileSync(resolve("deploy/runbook.md"), "utf8");
  const anchors = new Set(
    [...text.matchAll(/^#{2,4} (.+)$/gm)].map(([, heading]) =>
      anchorOf(heading!),
    ),
  );
  const named = new Map<string, string>();
  for (const { alert, annotations } of rules().alerts) {
    const { runbook_url: link = "", summary, description } = annotations;
    assert.ok(summary && description, `${alert} does not say what it means`);
    const [file, anchor] = link.split("#");
    assert.is(file, "deploy/runbook.md", alert);
    assert.ok(anchors.has(anchor!), `${alert} leads to #${anchor}`);
    assert.ok(text.includes(alert), `the runbook does not name ${alert}`);
    named.set(anchor!, alert);
  }
  for (const [, name] of text.matchAll(/`(Twinstream\w+)`/g))
    assert.ok(
      rules().alerts.some(({ alert }) => alert === name),
      `the runbook names ${name}, which is no alert`,
    );
  for (const [, anchor] of text.matchAll(/\]\(#([\w-]+)\)/g))
    assert.ok(anchors.has(anchor!), `#${anchor} is no section`);
});

/** As GitHub and most others make them. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, "")
    .replaceAll(" ", "-");

test("dashboards are whole: own uids, datasources by variable, units, descriptions, no panel over another", () => {
  const boards = dashboards();
  assert.ok(boards.length >= 5);
  assert.is(new Set(boards.map(({ uid }) => uid)).size, boards.length);
  for (const { file, uid, description, panels, templating } of boards) {
    assert.match(uid, /^[\w-]{1,40}$/, file);
    assert.ok(description.length > 20, file);
    assert.is(new Set(panels.map(({ id }) => id)).size, panels.length, file);
    const variables = new Set(
      templating.list
        .filter(({ type }) => type === "datasource")
        .map(({ name }) => `\${${name}}`),
    );
    for (const panel of panels) {
      const where = `${file}: ${panel.title}`;
      const { x, y, w, h } = panel.gridPos;
      assert.ok(x >= 0 && w > 0 && h > 0 && x + w <= 24, where);
      for (const other of panels)
        assert.ok(
          other === panel ||
            x + w <= other.gridPos.x ||
            other.gridPos.x + other.gridPos.w <= x ||
            y + h <= other.gridPos.y ||
            other.gridPos.y + other.gridPos.h <= y,
          `${where} lies over ${other.title}`,
        );
      if (panel.type === "row") continue;
      assert.ok((panel.description ?? "").length > 0, `${where} says nothing`);
      assert.ok((panel.targets ?? []).length > 0, where);
      for (const { datasource } of panel.targets ?? [])
        assert.ok(variables.has(datasource.uid), `${where}: ${datasource.uid}`);
      if (panel.type === "table") continue;
      assert.ok(panel.fieldConfig?.defaults.unit, `${where} has no unit`);
      assert.ok(panel.fieldConfig?.defaults.thresholds, where);
    }
  }
});

byPromtool("the panels' queries are PromQL", () =>
  withFolder(async (dir) => {
    const file = join(dir, "panels.yml");
    const asRules = panelQueries().map(({ expr }, i) => ({
      record: `panel:${i}`,
      expr,
    }));
    writeFileSync(
      file,
      stringify({ groups: [{ name: "panels", rules: asRules }] }),
    );
    assert.match(await promtool("check", "rules", file), /SUCCESS/);
  }),
);

test.run();
