/**
 * Bulk notes: what Redis and presence are told of an upload. Per device the readings that the history still shows, and each
 * sensor's newest, which come last so that the newest note shows them together.
 */
import type { DeviceRef } from "../domain/device.js";
import { encodeEnvelope } from "../domain/envelope.js";
import { toIso } from "../domain/time.js";
import type {
  BulkRow,
  EquipmentResult,
  OutgoingRecord,
  UploadClaim,
} from "../ports.js";

/** Points of a message at most (contracts, 1.1). */
const NOTE_POINTS = 1000;
/** Bytes of a note's points at most; a text of 65,536 characters is 400 KB at the worst. */
const NOTE_BYTES = 1024 * 1024 - 4096;

/** @param historyFromUs readings before it are not in the history any more */
export function notesOf(
  results: readonly EquipmentResult[],
  claims: ReadonlyMap<string, UploadClaim>,
  historyFromUs: number,
): OutgoingRecord[] {
  const records: OutgoingRecord[] = [];
  for (const { claimId, device, rows } of joined(results)) {
    const claim = claims.get(claimId)!;
    for (const points of portions(chosen(rows, historyFromUs))) {
      const payload = `{"schema":"bulk_v1","claim_id":"${claimId}","received_at":"${toIso(claim.receivedMs * 1000)}","points":[${points.join()}]}`;
      const value = encodeEnvelope({
        tenant: device.tenant,
        deviceId: device.deviceId,
        site: null,
        kind: "bulk",
        payload: Buffer.from(payload),
        arrivalMs: claim.receivedMs,
      });
      records.push({ key: device.address, value });
    }
  }
  return records;
}

interface Told {
  readonly claimId: string;
  readonly device: DeviceRef;
  readonly rows: BulkRow[];
}

/** A device that comes several times in a claim is told of once. */
function joined(results: readonly EquipmentResult[]): Iterable<Told> {
  const told = new Map<string, Told>();
  for (const { claimId, device, rows } of results) {
    if (device === null || rows.length === 0) continue;
    const place = `${claimId} ${device.address}`;
    let one = told.get(place);
    if (one === undefined)
      told.set(place, (one = { claimId, device, rows: [] }));
    for (const row of rows) one.rows.push(row);
  }
  return told.values();
}

function chosen(rows: readonly BulkRow[], historyFromUs: number): BulkRow[] {
  const newest = new Map<BulkRow["sensor"], BulkRow>();
  for (const row of rows) {
    const before = newest.get(row.sensor);
    // Of two at one instant the first is the one that is stored.
    if (before === undefined || row.timeUs > before.timeUs)
      newest.set(row.sensor, row);
  }
  const recent = rows.filter(
    (row) => row.timeUs >= historyFromUs && newest.get(row.sensor) !== row,
  );
  const byTime = (a: BulkRow, b: BulkRow): number => a.timeUs - b.timeUs;
  return [...recent.toSorted(byTime), ...[...newest.values()].toSorted(byTime)];
}

/** Texts of points in notes' portions, filled from the end. */
function portions(rows: readonly BulkRow[]): string[][] {
  const notes: string[][] = [];
  let note: string[] = [];
  let bytes = 0;
  for (const row of rows.toReversed()) {
    const text = pointText(row);
    const size = Buffer.byteLength(text) + 1;
    if (note.length === NOTE_POINTS || bytes + size > NOTE_BYTES) {
      notes.push(note.reverse());
      note = [];
      bytes = 0;
    }
    note.push(text);
    bytes += size;
  }
  if (note.length > 0) notes.push(note.reverse());
  return notes.reverse();
}

const TYPE = { num: "num", bool: "bool", text: "text" } as const;

/** Names are ids, which need no escaping. */
function pointText({ sensor, timeUs, value, text }: BulkRow): string {
  const { name, typeClass } = sensor;
  const shown =
    typeClass === "text"
      ? JSON.stringify(text)
      : typeClass === "bool"
        ? String(value === 1)
        : String(value);
  return `{"name":"${name}","t":"${TYPE[typeClass]}","v":${shown},"u":null,"ts":"${toIso(timeUs)}"}`;
}
