/** What deploy/prometheus and deploy/grafana hold, read for the tests. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";

export const PROMETHEUS = resolve("deploy/prometheus");
const DASHBOARDS = resolve("deploy/grafana/dashboards");

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}
export interface RecordingRule {
  readonly record: string;
  readonly expr: string;
}
interface RuleFile {
  readonly groups: readonly { readonly rules: readonly unknown[] }[];
}

export function rules(): {
  alerts: AlertRule[];
  recordings: RecordingRule[];
} {
  const folder = join(PROMETHEUS, "rules");
  const all = readdirSync(folder).flatMap((name) =>
    (
      parse(readFileSync(join(folder, name), "utf8")) as RuleFile
    ).groups.flatMap((group) => group.rules),
  ) as (AlertRule | RecordingRule)[];
  return {
    alerts: all.filter((one): one is AlertRule => "alert" in one),
    recordings: all.filter((one): one is RecordingRule => "record" in one),
  };
}

interface Target {
  readonly refId: string;
  readonly expr?: string;
  readonly rawSql?: string;
  readonly datasource: { readonly type: string; readonly uid: string };
}
export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly Target[];
  readonly fieldConfig?: {
    readonly defaults: { readonly unit?: string; readonly thresholds?: object };
  };
}
export interface Dashboard {
  readonly file: string;
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string }[];
  };
}

export function dashboards(): Dashboard[] {
  return readdirSync(DASHBOARDS).map((file) => ({
    ...(JSON.parse(readFileSync(join(DASHBOARDS, file), "utf8")) as Dashboard),
    file,
  }));
}

/** PromQL of all panels, with what Grafana would put in for its own names. */
export function panelQueries(): { where: string; expr: string }[] {
  return dashboards().flatMap(({ file, panels }) =>
    panels.flatMap((panel) =>
      (panel.targets ?? []).flatMap(({ expr }) =>
        expr === undefined
          ? []
          : [
              {
                where: `${file}: ${panel.title}`,
                expr: expr.replaceAll(/\$__(rate_)?interval/g, "5m"),
              },
            ],
      ),
    ),
  );
}

export function panelStatements(): { where: string; sql: string }[] {
  return dashboards().flatMap(({ file, panels }) =>
    panels.flatMap((panel) =>
      (panel.targets ?? []).flatMap(({ rawSql }) =>
        rawSql === undefined
          ? []
          : [
              {
                where: `${file}: ${panel.title}`,
                sql: rawSql.replaceAll(
                  /\$__timeFilter\(([^)]+)\)/g,
                  "$1 BETWEEN now() - interval '6 hours' AND now()",
                ),
              },
            ],
      ),
    ),
  );
}

const KEYWORDS = new Set(
  "and or unless by without on ignoring group_left group_right offset bool inf nan".split(
    " ",
  ),
);

/**
 * Metrics that a query reads, each with the labels that it names: what stands outside quotes, is no function, no label list
 * and no duration.
 */
export function metricsIn(
  expr: string,
): { metric: string; labels: string[] }[] {
  const bare = expr.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""');
  const lists =
    /\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g;
  const text = bare.replaceAll(lists, " ").replaceAll(/\[[^\]]*\]/g, " ");
  const found: { metric: string; labels: string[] }[] = [];
  for (const match of text.matchAll(
    /(?<![\w.$])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(\s*\()?/g,
  )) {
    const [, metric, selector, call] = match;
    if (call !== undefined && selector === undefined) continue;
    if (KEYWORDS.has(metric!.toLowerCase())) continue;
    const labels = [...(selector ?? "").matchAll(/(\w+)\s*[=!]/g)];
    found.push({ metric: metric!, labels: labels.map(([, name]) => name!) });
  }
  return found;
}
