/** What the database holds as a whole, for the check of the log: how far, of whom, and what may be gone by now. */
import { address } from "../../domain/names.js";
import type { LedgerStanding } from "../../ports.js";
import type { Session } from "./connect.js";
import { readFacts } from "./facts.js";

const DAY_MS = 86_400_000;

const OFFSETS =
  "SELECT topic, partition, next_offset, cluster_id FROM stream_offsets";
const GAPS = "SELECT topic, partition, from_offset, to_offset FROM stream_gaps";
const TENANTS = "SELECT tenant_id FROM tenants";
const ADAPTERS =
  "SELECT tenant_id, equip_uuid, adapter FROM equipments WHERE adapter IS NOT NULL";

export async function readStanding(
  session: Session,
  nowMs: number,
): Promise<LedgerStanding> {
  const { rawRetentionDays, rawKeptFromMs, dlqRetentionDays } =
    await readFacts(session);
  const offsets = await session.rows<{
    topic: string;
    partition: number;
    next_offset: string;
    cluster_id: string | null;
  }>(OFFSETS);
  const gaps = await session.rows<{
    topic: string;
    partition: number;
    from_offset: string;
    to_offset: string;
  }>(GAPS);
  const tenants = await session.rows<{ tenant_id: string }>(TENANTS);
  const adapters = await session.rows<{
    tenant_id: string;
    equip_uuid: string;
    adapter: string;
  }>(ADAPTERS);
  const keptFrom = (days: number): number =>
    days === 0 ? 0 : nowMs - days * DAY_MS;
  return {
    offsets: offsets.map((row) => ({
      topic: row.topic,
      partition: row.partition,
      nextOffset: Number(row.next_offset),
      clusterId: row.cluster_id,
    })),
    gaps: gaps.map((row) => ({
      topic: row.topic,
      partition: row.partition,
      from: Number(row.from_offset),
      to: Number(row.to_offset),
    })),
    tenants: new Set(tenants.map((row) => row.tenant_id)),
    adapters: new Map(
      adapters.map((row) => [
        address(row.tenant_id, row.equip_uuid),
        row.adapter,
      ]),
    ),
    rowsFromMs: Math.max(rawKeptFromMs, keptFrom(rawRetentionDays)),
    lettersFromMs: keptFrom(dlqRetentionDays),
  };
}
