/** What a store's status means for whoever runs it. */
import type {
  PolicyStatus,
  StoreStatus,
} from "../adapters/timescale/store-status.js";
import { advice, fine, type Finding, wrong } from "../domain/finding.js";

/**
 * TimescaleDB 2.22.1 on PostgreSQL 15.20 reports every run of a background job as failed with these words, after its work was
 * committed. So where they are the reason, the data themselves are asked whether the work was done.
 */
const REPORTED_ONLY = /cannot drop portal/;

const workOf = ({ kind, on }: PolicyStatus): string => `${kind} of ${on}`;

export function storeFindings(status: StoreStatus): Finding[] {
  const findings: Finding[] = [];
  const failed = status.policies.filter((one) => one.lastSucceeded === false);
  const inName = failed.filter(
    ({ lastError, workDone }) =>
      workDone && REPORTED_ONLY.test(lastError ?? ""),
  );
  if (inName.length > 0)
    findings.push(
      advice(
        `the server reports these policies as failed (\`cannot drop portal\`), but their work is done: ${inName.map(workOf).join(", ")}`,
        "nothing is wrong with the data; the report is a fault of the server, seen with TimescaleDB 2.22.1 on PostgreSQL 15.20",
      ),
    );
  for (const policy of failed.filter((one) => !inName.includes(one)))
    findings.push(
      wrong(
        `the last ${workOf(policy)} failed at ${policy.lastRun}: ${policy.lastError ?? "no reason was kept"}`,
        `put the reason right, then run it: CALL run_job(${policy.jobId}); earlier failures are in timescaledb_information.job_errors`,
      ),
    );
  for (const policy of status.policies.filter((one) => !one.scheduled))
    findings.push(
      wrong(
        `the ${workOf(policy)} is switched off`,
        `switch it on: SELECT alter_job(${policy.jobId}, scheduled => true)`,
      ),
    );
  for (const aggregate of status.aggregates) {
    if (!isStale(status, aggregate.name)) continue;
    findings.push(
      wrong(
        `${aggregate.name} is stale: rows wait behind ${aggregate.watermark ?? "its beginning"}, so that every question works them out anew`,
        `see whether background jobs run (timescaledb.max_background_workers), then: CALL refresh_continuous_aggregate('store.${aggregate.name}', now() - interval '3 days', now() - interval '1 hour')`,
      ),
    );
  }
  return findings.length === 0 ? [fine("the store is in order")] : findings;
}

/** Rows behind the watermark are no trouble where the policy runs: its next run takes them. */
function isStale(status: StoreStatus, aggregate: string): boolean {
  const { rowsBehind } = status.aggregates.find(
    ({ name }) => name === aggregate,
  )!;
  const policy = status.policies.find(
    ({ kind, on }) => kind === "refresh" && on === aggregate,
  );
  return rowsBehind && policy?.lastSucceeded !== true;
}
