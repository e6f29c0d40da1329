/**
 * What an upload holds: a JSON array of equipments, each with readings.
 * [{"equip_uuid":"…","equip_nome":"…","sensor":[{"sensor_uuid":"…","sensor_tipo":"…","valor":25.5,"timestamp":"…"}]}]
 *
 * The gateway holds small uploads against it before it takes them, the worker holds every upload against it.
 */
import type { DeadLetterReason } from "../errors.js";
import { isPointName } from "./adapters/adapter.js";
import { shown } from "./fault.js";
import type { Judge } from "./judge.js";
import type { TypeClass } from "./message.js";
import { isSegment } from "./names.js";
import { isBearable, unbearable } from "./points.js";
import { parseTime } from "./time.js";

/** What an equipment's readings are held against. */
export interface BulkRules {
  readonly judge: Pick<Judge, "time" | "age">;
  /** When the upload was received, microseconds: its readings' arrival. */
  readonly receivedUs: number;
}

export interface BulkEquipment {
  /** The device's id. */
  readonly equipUuid: string;
  /** Null when the upload gives none. */
  readonly equipNome: string | null;
  /** Readings that can be stored, in the order of the file; one sensor may have several. */
  readonly sensors: readonly BulkReading[];
}

/** One for all readings of an equipment that share name and class: an upload of a year names each sensor once a reading. */
export interface BulkPoint {
  readonly sensorUuid: string;
  /** The sensor's type in the uploader's words, as its first reading has it; there is no closed list of them. */
  readonly sensorTipo: string;
  readonly typeClass: TypeClass;
}

export interface BulkReading {
  readonly point: BulkPoint;
  readonly timeUs: number;
  /** Numbers, and booleans as 0 or 1; null for text. */
  readonly value: number | null;
  readonly text: string | null;
  /** Its 0-based place in the equipment's `sensor`. */
  readonly index: number;
}

export interface BulkFault {
  /** JSON path of what is wrong: `$[3].sensor[0].valor`. */
  readonly path: string;
  /** The rule in words: `expected a finite number, true, false or a string, got null`. */
  readonly reason: string;
  readonly deadLetterReason: DeadLetterReason;
  /** The reading, or the whole equipment, that is not stored for it. */
  readonly given: unknown;
}

export interface EquipmentRead {
  /** Null when nothing of it can be stored. */
  readonly equipment: BulkEquipment | null;
  readonly errors: readonly BulkFault[];
}

/** UTF-16 units of a text value at most: several must fit into one record of the log. */
const MAX_TEXT = 65_536;
const MAX_EQUIP_NAME = 256;
// Cs under the u flag matches only surrogates without their other half.
const UNSTORABLE = /[\0\p{Cs}]/u;

type Loose = Readonly<Record<string, unknown>>;

/**
 * One element of the file's array. Never throws: a reading that cannot be stored is an error beside the others, an
 * equipment without a usable id, name or list of readings is one error for all of it.
 * @param path of the element: `$[3]`
 */
export function readEquipment(
  value: unknown,
  path: string,
  rules: BulkRules,
): EquipmentRead {
  const refuseAll = (at: string, reason: string): EquipmentRead => ({
    equipment: null,
    errors: [
      {
        path: `${path}${at}`,
        reason,
        deadLetterReason: "bulk_invalid",
        given: value,
      },
    ],
  });
  if (!isObject(value))
    return refuseAll("", `expected an object, got ${shown(value)}`);
  const { equip_uuid: uuid, equip_nome: name, sensor: list } = value;
  if (typeof uuid !== "string" || !isSegment(uuid))
    return refuseAll(".equip_uuid", badId(uuid));
  if (name !== undefined && name !== null && !isEquipName(name))
    return refuseAll(
      ".equip_nome",
      `expected a text of 1 to ${MAX_EQUIP_NAME} characters without NUL, got ${shown(name)}`,
    );
  if (!Array.isArray(list))
    return refuseAll(".sensor", `expected an array, got ${shown(list)}`);
  if (list.length === 0)
    return refuseAll(".sensor", "expected at least one reading, got none");

  const sensors: BulkReading[] = [];
  const errors: BulkFault[] = [];
  const points: Points = { num: new Map(), bool: new Map(), text: new Map() };
  for (let i = 0; i < list.length; i++) {
    const given: unknown = list[i];
    const read = readReading(given, i, points, rules);
    if ("at" in read) {
      const { at, reason, deadLetterReason } = read;
      const where = `${path}.sensor[${i}]${at}`;
      errors.push({ path: where, reason, deadLetterReason, given });
    } else sensors.push(read);
  }
  const equipNome = typeof name === "string" ? name : null;
  return { equipment: { equipUuid: uuid, equipNome, sensors }, errors };
}

/** By name. */
type Points = Readonly<Record<TypeClass, Map<string, BulkPoint>>>;

interface ReadingFault extends Pick<BulkFault, "reason" | "deadLetterReason"> {
  /** What of the reading is wrong: `.valor`. */
  readonly at: string;
}

const refuse = (
  at: string,
  reason: string,
  deadLetterReason: DeadLetterReason = "bulk_invalid",
): ReadingFault => ({ at, reason, deadLetterReason });

function readReading(
  given: unknown,
  index: number,
  points: Points,
  { judge, receivedUs }: BulkRules,
): BulkReading | ReadingFault {
  if (!isObject(given))
    return refuse("", `expected an object, got ${shown(given)}`);
  const { sensor_uuid: uuid, sensor_tipo: type, valor, timestamp } = given;
  const typeClass = classOf(valor);
  const known =
    typeClass === null ? undefined : points[typeClass].get(uuid as string);
  // What was found well once is well again.
  if (known === undefined && (typeof uuid !== "string" || !isSegment(uuid)))
    return refuse(".sensor_uuid", badId(uuid));
  if (
    type !== known?.sensorTipo &&
    (typeof type !== "string" || !isPointName(type))
  )
    return refuse(
      ".sensor_tipo",
      `expected a type of 1 to 128 printable characters, got ${shown(type)}`,
    );
  if (typeClass === null) return refuse(".valor", badValue(valor));
  if (typeof valor === "number" && !isBearable(valor))
    return refuse(".valor", unbearable(valor), "row_refused");
  if (timestamp === undefined || timestamp === null)
    return refuse(".timestamp", `expected a time, got ${shown(timestamp)}`);
  const timeUs = parseTime(timestamp);
  if (Number.isNaN(timeUs))
    return refuse(
      ".timestamp",
      `expected ISO 8601, Unix seconds or milliseconds, got ${shown(timestamp)}`,
      "bad_timestamp",
    );
  const fault =
    judge.time(timeUs, receivedUs, "timestamp") ??
    judge.age(timeUs, receivedUs, "timestamp");
  if (fault !== null) return refuse(".timestamp", fault.detail, fault.reason);
  const point = known ?? {
    sensorUuid: uuid as string,
    sensorTipo: type as string,
    typeClass,
  };
  if (known === undefined) points[typeClass].set(point.sensorUuid, point);
  return {
    point,
    timeUs,
    value: typeClass === "text" ? null : Number(valor),
    text: typeClass === "text" ? (valor as string) : null,
    index,
  };
}

/** The class that a value is stored as; null when it cannot be. (JSON's 1e400 is read as an infinity.) */
function classOf(valor: unknown): TypeClass | null {
  switch (typeof valor) {
    case "number":
      return Number.isFinite(valor) ? "num" : null;
    case "boolean":
      return "bool";
    case "string":
      return valor.length <= MAX_TEXT && !UNSTORABLE.test(valor)
        ? "text"
        : null;
    default:
      return null;
  }
}

const badValue = (valor: unknown): string =>
  typeof valor === "string"
    ? `expected a text of at most ${MAX_TEXT} characters, without NUL or half of a surrogate pair, got ${shown(valor)}`
    : `expected a finite number, true, false or a string, got ${shown(valor)}`;

const badId = (id: unknown): string =>
  `expected an id of 1 to 128 characters of [A-Za-z0-9._:-], got ${shown(id)}`;

const isEquipName = (name: unknown): boolean =>
  typeof name === "string" &&
  name.length > 0 &&
  name.length <= MAX_EQUIP_NAME &&
  !UNSTORABLE.test(name);

const isObject = (value: unknown): value is Loose =>
  typeof value === "object" && value !== null && !Array.isArray(value);
