/** Flushes and what stands in them, with everything that a test does not care about filled in. */
import type {
  DeviceRef,
  Row,
  Sensor,
  StoreChange,
} from "../../src/domain/device.js";
import type {
  AckMessage,
  CommandRequest,
  DeadLetter,
  EventMessage,
  LogRecord,
  TypeClass,
} from "../../src/domain/message.js";
import type {
  Claim,
  Flush,
  FlushResult,
  RefusedRow,
  TelemetryStore,
} from "../../src/ports.js";

export const PARTITION = 7;
export const DATA = "iot-data";
export const COMMANDS = "device-commands";
/** An hour ago, at a microsecond that no millisecond holds. */
export const NOW_US =
  Math.floor(Date.now() / 3_600_000) * 3_600_000_000 - 3_600_000_000 + 123_457;

export function device(deviceId: string, tenant = "default"): DeviceRef {
  return {
    address: tenant === "default" ? deviceId : `${tenant}/${deviceId}`,
    tenant,
    deviceId,
    site: tenant === "default" ? null : "site-1",
    equipmentId: 0,
  };
}

export function sensor(
  of: DeviceRef,
  name: string,
  typeClass: TypeClass = "num",
  unit: string | null = null,
): Sensor {
  const type = { num: "float", bool: "bool", text: "enum" }[typeClass];
  return { device: of, name, typeClass, type, unit, id: 0 };
}

/** A device `dev-1` with a point `temp`, both registered. */
export async function knownSensor(
  store: Pick<TelemetryStore, "register">,
): Promise<{ dev: DeviceRef; temp: Sensor }> {
  const dev = device("dev-1");
  const temp = sensor(dev, "temp");
  await store.register(PARTITION, [dev], [temp]);
  return { dev, temp };
}

export function record(offset: number, topic = DATA): LogRecord {
  return {
    topic,
    partition: PARTITION,
    offset,
    key: Buffer.from("dev-1"),
    value: Buffer.from('{"device_id":"dev-1"}'),
    headers: {},
    timestampMs: Math.floor(NOW_US / 1000),
  };
}

export function row(
  of: Sensor,
  timeUs: number,
  value: number | string,
  offset = 0,
  item = 0,
): Row {
  const isText = typeof value === "string";
  return {
    sensor: of,
    timeUs,
    value: isText ? null : value,
    text: isText ? value : null,
    source: record(offset),
    item,
  };
}

export function change(
  of: DeviceRef,
  over: Partial<StoreChange> = {},
): StoreChange {
  return {
    device: of,
    rows: [],
    acks: [],
    commands: [],
    events: [],
    deadLetters: [],
    seenUs: 0,
    gone: null,
    untimed: null,
    quarantinedUntilMs: null,
    firmware: null,
    ...over,
  };
}

export function command(
  cmdId: string,
  over: Partial<CommandRequest> = {},
): CommandRequest {
  return {
    cmdId,
    op: "reset_fault",
    params: { level: 2 },
    by: "ana",
    createdUs: NOW_US,
    expiresUs: NOW_US + 60_000_000,
    queue: false,
    supersedes: null,
    precondition: null,
    extra: { command: "start" },
    ...over,
  };
}

export function ack(
  of: DeviceRef,
  cmdId: string,
  over: Partial<AckMessage> = {},
): AckMessage {
  return {
    kind: "ack",
    source: record(0),
    address: of.address,
    tenant: of.tenant,
    deviceId: of.deviceId,
    site: of.site,
    arrivalUs: NOW_US + 2_000_000,
    cmdId,
    ok: true,
    execUs: NOW_US + 1_000_000,
    err: null,
    hash: "b".repeat(64),
    ...over,
  };
}

export function event(
  of: DeviceRef,
  over: Partial<EventMessage> = {},
): EventMessage {
  return {
    kind: "event",
    source: record(0),
    address: of.address,
    tenant: of.tenant,
    deviceId: of.deviceId,
    site: of.site,
    arrivalUs: NOW_US,
    timeUs: NOW_US,
    payload: '{"event":"start"}',
    hash: "e".repeat(64),
    ...over,
  };
}

export function letter(
  offset: number,
  over: Partial<DeadLetter> = {},
): DeadLetter {
  return {
    source: record(offset),
    reason: "parse_error",
    detail: "not JSON",
    tenant: "default",
    deviceId: "dev-1",
    topic: "devices/dev-1/data",
    payload: Buffer.from("{broken"),
    item: -1,
    attempts: 1,
    ...over,
  };
}

/** A lane's place on the data topic: claims it, and makes flushes that follow one another. */
export interface Lane {
  readonly claims: readonly Claim[];
  /** The next flush of `records` records, not yet sent. */
  batch(records: number, over?: Partial<Flush>): Flush;
  /** Sends the next flush and goes on behind it when it moved the fence. */
  flush(
    records: number,
    over?: Partial<Flush>,
    beforeCommit?: (refused: readonly RefusedRow[]) => Promise<void>,
  ): Promise<FlushResult>;
}

export const sentNothing = async (): Promise<void> => {};

export async function claimLane(
  store: TelemetryStore,
  owner = "one",
): Promise<Lane> {
  const claims = await store.claim([COMMANDS, DATA], PARTITION, owner);
  const [ofCommands, ofData] = claims as [Claim, Claim];
  let at = Math.max(0, ofData.nextOffset);
  const batch = (records: number, over: Partial<Flush> = {}): Flush => ({
    partition: PARTITION,
    owner,
    clusterId: "cluster-1",
    fence: [
      {
        topic: COMMANDS,
        epoch: ofCommands.epoch,
        from: ofCommands.nextOffset,
        to: ofCommands.nextOffset,
        lastRecordMs: null,
      },
      {
        topic: DATA,
        epoch: ofData.epoch,
        from: at,
        to: at + records,
        lastRecordMs: 1_763_600_000_123,
      },
    ],
    changes: [],
    deadLetters: [],
    replays: [],
    commandChanges: [],
    toJudge: [],
    presence: [],
    introduced: new Set(),
    expectDuplicates: false,
    ...over,
  });
  return {
    claims,
    batch,
    async flush(records, over, beforeCommit = sentNothing) {
      const result = await store.flush(batch(records, over), beforeCommit);
      if (result.fence === "moved") at += records;
      return result;
    },
  };
}

/** The flush's answer, which a test expects to have taken effect. */
export function moved(
  result: FlushResult,
): Extract<FlushResult, { fence: "moved" }> {
  if (result.fence !== "moved")
    throw new Error(`the fence answered ${result.fence}`);
  return result;
}
