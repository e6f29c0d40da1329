/** Claims, objects and rows of uploads in memory, for tests of the worker: what UploadStore promises, without a database. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { claimCheckRecord, objectKey } from "../../src/domain/claim-check.js";
import type { DeviceRef, Sensor } from "../../src/domain/device.js";
import type { DeadLetter, TypeClass } from "../../src/domain/message.js";
import { type DeadLetterReason, TwinstreamError } from "../../src/errors.js";
import type {
  BulkError,
  BulkRow,
  ObjectStore,
  OutgoingRecord,
  StoredDevice,
  UploadClaim,
  UploadStore,
} from "../../src/ports.js";

type Mutable = { -readonly [K in keyof UploadClaim]: UploadClaim[K] };

export interface MemoryUploads {
  readonly store: UploadStore;
  readonly objects: ObjectStore;
  readonly claims: ReadonlyMap<string, UploadClaim>;
  /** By `device point timeUs`; type classes of one name are not told apart. */
  readonly rows: ReadonlyMap<string, number | string | null>;
  readonly errors: readonly BulkError[];
  readonly letters: readonly DeadLetter[];
  /** Transactions that took effect. */
  readonly transactions: number;
  /** Makes a claim with its object; answers its claim check. */
  add(claimId: string, body: string | Buffer): OutgoingRecord;
  /** The next calls of this kind fail with this code; `device`: only those with this device in them. */
  fail(what: Failing): void;
}

interface Failing {
  readonly call: "take" | "store" | "get";
  readonly code: "STORE_UNREACHABLE" | "STORE_REFUSED" | "OBJECTS_UNREACHABLE";
  /** Infinity for as long as the test runs. */
  times: number;
  readonly device?: string;
}

const RECEIVED_MS = Date.parse("2026-01-15T10:00:00Z");

export function createMemoryUploads(): MemoryUploads {
  const claims = new Map<string, Mutable>();
  const bodies = new Map<string, Buffer>();
  const rows = new Map<string, number | string | null>();
  const errors: BulkError[] = [];
  const letters: DeadLetter[] = [];
  const failures: Failing[] = [];
  const devices = new Map<string, StoredDevice>();
  let transactions = 0;
  let ids = 0;

  function mayFail(call: Failing["call"], named: readonly string[] = []): void {
    const failing = failures.find(
      (one) =>
        one.call === call &&
        one.times > 0 &&
        (one.device === undefined || named.includes(one.device)),
    );
    if (failing === undefined) return;
    failing.times--;
    throw new TwinstreamError(failing.code, "told to fail");
  }

  const store: UploadStore = {
    async take(wanted) {
      mayFail("take");
      const found = new Map<string, UploadClaim>();
      for (const { claimId } of wanted) {
        const claim = claims.get(claimId);
        if (claim === undefined) continue;
        if (claim.state === "stored") claim.state = "processing";
        claim.announced = true;
        found.set(claimId, { ...claim });
      }
      return found;
    },
    async register(_partition, refs, given) {
      for (const ref of refs) {
        const known = devices.get(ref.address)?.state.device.equipmentId;
        ref.equipmentId = known ?? ++ids;
        if (known === undefined) devices.set(ref.address, newDevice(ref));
      }
      for (const sensor of given) {
        const known = sensorsOf(devices, sensor);
        sensor.id = known.get(sensor.name)?.id ?? ++ids;
        known.set(sensor.name, { ...sensor });
      }
    },
    async wake(refs) {
      const woken = new Map<string, StoredDevice>();
      for (const ref of refs) {
        const known = devices.get(ref.address);
        if (known === undefined) continue;
        ref.equipmentId = known.state.device.equipmentId;
        woken.set(ref.address, known);
      }
      return woken;
    },
    async store(results, finished) {
      mayFail(
        "store",
        results.flatMap(({ device }) => device?.deviceId ?? []),
      );
      transactions++;
      let stored = 0;
      let duplicates = 0;
      let failed = 0;
      const byReason = new Map<DeadLetterReason, number>();
      for (const result of results) {
        const claim = claims.get(result.claimId);
        if (claim?.state !== "processing") continue;
        if (result.ordinal !== claim.nextEquipment) continue;
        claim.nextEquipment++;
        const counts = { stored: 0, duplicate: 0, failed: 0 };
        const faults: BulkError[] = [];
        for (const row of result.rows) {
          const { sensor, timeUs } = row;
          const place = `${sensor.device.deviceId} ${sensor.name} ${timeUs}`;
          const given = row.text ?? row.value;
          const there = rows.get(place);
          if (there === undefined) {
            rows.set(place, given);
            counts.stored++;
          } else if (there === given) counts.duplicate++;
          else faults.push(conflict(row));
        }
        faults.push(...result.errors);
        if (result.device !== null) counts.failed = faults.length;
        errors.push(...faults);
        const shown = faults.map(({ path, reason }) => ({ path, reason }));
        claim.errors = [...claim.errors, ...shown];
        for (const { deadLetterReason: reason } of faults)
          byReason.set(reason, (byReason.get(reason) ?? 0) + 1);
        claim.equipments = {
          total: null,
          stored: claim.equipments.stored + (result.device === null ? 0 : 1),
          failed: claim.equipments.failed + (result.device === null ? 1 : 0),
        };
        claim.readings = {
          stored: claim.readings.stored + counts.stored,
          duplicate: claim.readings.duplicate + counts.duplicate,
          failed: claim.readings.failed + counts.failed,
        };
        stored += counts.stored;
        duplicates += counts.duplicate;
        failed += counts.failed;
      }
      const done = finished.flatMap(({ claimId, equipments }) => {
        const claim = claims.get(claimId);
        if (claim?.state === "done") return [claimId];
        if (claim?.state !== "processing" || claim.nextEquipment !== equipments)
          return [];
        claim.state = "done";
        claim.equipments = { ...claim.equipments, total: equipments };
        claim.finishedMs = RECEIVED_MS;
        return [claimId];
      });
      return { stored, duplicates, failed, letters: byReason, done };
    },
    async reject(letter, claimId, { beforeCommit }) {
      const claim = claimId === null ? undefined : claims.get(claimId);
      if (claimId !== null && (claim === undefined || hasEnded(claim)))
        return false;
      await beforeCommit();
      letters.push(letter);
      if (claim === undefined) return true;
      claim.state = "rejected";
      claim.errors = [{ path: "$", reason: letter.detail }, ...claim.errors];
      claim.finishedMs = RECEIVED_MS;
      return true;
    },
    async reopen(claimId) {
      const claim = claims.get(claimId);
      if (claim === undefined || !hasEnded(claim)) return null;
      return { ...Object.assign(claim, { ...NEW, announced: false }) };
    },
    find: async (claimId) => structuredClone(claims.get(claimId) ?? null),
    list: async ({ tenant, state, limit }) =>
      [...claims.values()]
        .filter((claim) => tenant === null || claim.tenant === tenant)
        .filter((claim) => state === null || claim.state === state)
        .toSorted((a, b) => (a.claimId < b.claimId ? 1 : -1))
        .slice(0, limit),
    close: async () => {},
  };

  const objects: ObjectStore = {
    type: "filesystem",
    put: () => Promise.reject(new Error("not here")),
    async get(key) {
      mayFail("get");
      const body = bodies.get(key);
      if (body === undefined)
        throw new TwinstreamError("NOT_FOUND", `no object ${key}`);
      return Readable.from([body], { objectMode: false });
    },
    head: async () => null,
    async remove(key) {
      bodies.delete(key);
    },
    async *list() {},
    sweep: async () => 0,
    prepare: async () => {},
    free: async () => null,
    ping: async () => {},
    close: async () => {},
  };

  return {
    store,
    objects,
    claims,
    rows,
    errors,
    letters,
    get transactions() {
      return transactions;
    },
    add(claimId, body) {
      const original = Buffer.from(body);
      const stored = gzipSync(original);
      const n = String(claims.size).padStart(12, "0");
      const claim: Mutable = {
        claimId,
        tenant: "default",
        userId: "u",
        requestId: "r",
        key: objectKey(RECEIVED_MS, `00000000-0000-4000-8000-${n}`),
        storageType: "filesystem",
        idempotencyKey: null,
        fileSize: stored.length,
        originalSize: original.length,
        sha256: createHash("sha256").update(stored).digest("hex"),
        announced: true,
        receivedMs: RECEIVED_MS,
        ...NEW,
      };
      claims.set(claimId, claim);
      bodies.set(claim.key, stored);
      return claimCheckRecord(claim);
    },
    fail: (what) => failures.push({ ...what }),
  };
}

/** Unix milliseconds at which every upload here was received. */
export const UPLOADED_MS = RECEIVED_MS;

/** How far a claim is that no worker has taken yet. */
const NEW = {
  state: "stored",
  nextEquipment: 0,
  equipments: { total: null, stored: 0, failed: 0 },
  readings: { stored: 0, duplicate: 0, failed: 0 },
  errors: [],
  finishedMs: null,
} as const;

const hasEnded = ({ state }: UploadClaim): boolean =>
  state === "done" || state === "rejected";

const conflict = ({
  sensor,
  ordinal,
  item,
  value,
  text,
}: BulkRow): BulkError => ({
  path: `$[${ordinal}].sensor[${item}]`,
  reason: `${sensor.name} holds another value already`,
  deadLetterReason: "conflict",
  payload: Buffer.from(String(text ?? value)),
  tenant: sensor.device.tenant,
  deviceId: sensor.device.deviceId,
});

const newDevice = (ref: DeviceRef): StoredDevice => ({
  state: {
    device: { ...ref },
    sensors: new Map(),
    last: null,
    seenUs: 0,
    untimed: [],
    quarantinedUntilMs: 0,
    firmware: null,
  },
  lastSeenUs: 0,
  online: false,
});

/** Those of the sensor's device and type class, by name. */
function sensorsOf(
  devices: ReadonlyMap<string, StoredDevice>,
  { device, typeClass }: Sensor,
): Map<string, Sensor> {
  const sensors = devices.get(device.address)!.state.sensors as Map<
    TypeClass,
    Map<string, Sensor>
  >;
  const known = sensors.get(typeClass) ?? new Map<string, Sensor>();
  sensors.set(typeClass, known);
  return known;
}
