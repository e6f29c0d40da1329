/** A page of a device's events. */
import { toIso } from "../../domain/time.js";
import type { DeviceRecords, EventRecord } from "../../ports.js";
import type { Session } from "./connect.js";
import { microsecondsOf } from "./times.js";

/** A page ends at this many bytes even when its limit is not reached: one event may have 2.5 MiB. */
const PAGE_BYTES = 8 * 1024 * 1024;

/** In the order of the primary key, backwards; the sizes of those before it decide whether an event is still in. */
const EVENTS = `
  SELECT time_us, hash, payload, received_us, found FROM (
    SELECT *, count(*) OVER ()::int AS found,
      sum(octet_length(payload)) OVER (ORDER BY time DESC, hash DESC) - octet_length(payload) AS bytes_before
    FROM (
      SELECT time, ${microsecondsOf("time")} AS time_us, hash, payload, ${microsecondsOf("received_at")} AS received_us
      FROM events
      WHERE equipment_id = (SELECT id FROM equipments WHERE tenant_id = $1 AND equip_uuid = $2)
        AND tenant_id = $1 AND time BETWEEN $3 AND $4
        AND ($5::timestamptz IS NULL OR (time, hash) < ($5, $6))
      ORDER BY time DESC, hash DESC LIMIT $7
    ) page
  ) sized WHERE bytes_before < ${PAGE_BYTES} ORDER BY time DESC, hash DESC`;

interface Row {
  time_us: string;
  hash: string;
  payload: string;
  received_us: string;
  /** Rows that the limit let through, this one more than asked for among them. */
  found: number;
}

/** As twinstream_reader, within one tenant. */
export async function readEvents(
  session: Session,
  tenant: string,
  deviceId: string,
  { fromUs, toUs, before, limit }: Parameters<DeviceRecords["events"]>[2],
): ReturnType<DeviceRecords["events"]> {
  const rows = await session.rows<Row>(EVENTS, [
    tenant,
    deviceId,
    toIso(fromUs),
    toIso(toUs),
    before === null ? null : toIso(before.timeUs),
    before?.hash ?? null,
    limit + 1,
  ]);
  const events: EventRecord[] = rows.slice(0, limit).map((row) => ({
    timeUs: Number(row.time_us),
    hash: row.hash,
    payload: row.payload,
    receivedUs: Number(row.received_us),
  }));
  return { events, more: (rows[0]?.found ?? 0) > events.length };
}
