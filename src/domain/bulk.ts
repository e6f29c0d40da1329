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

export interface BulkReading {
  /** The point's name. */
  readonly sensorUuid: string;
  /** The sensor's type in the uploader's words; there is no closed list of them. */
  readonly sensorTipo: string;
  readonly timeUs: number;
  /** Numbers, and booleans as 0 or 1; null for text. */
  readonly value: number | null;
  readonly text: string | null;
  readonly typeClass: TypeClass;
  /** JSON path of the reading in the file: `$[3].sensor[0]`. */
  readonly path: string;
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
  const refuse = (at: string, reason: string): EquipmentRead => ({
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
    return refuse("", `expected an object, got ${shown(value)}`);
  const { equip_uuid: uuid, equip_nome: name, sensor: list } = value;
  if (typeof uuid !== "string" || !isSegment(uuid))
    return refuse(".equip_uuid", badId(uuid));
  if (name !== undefined && name !== null && !isEquipName(name))
    return refuse(
      ".equip_nome",
      `expected a text of 1 to ${MAX_EQUIP_NAME} characters without NUL, got ${shown(name)}`,
    );
  if (!Array.isArray(list))
    return refuse(".sensor", `expected an array, got ${shown(list)}`);
  if (list.length === 0)
    return refuse(".sensor", "expected at least one reading, got none");

  const sensors: BulkReading[] = [];
  const errors: BulkFault[] = [];
  for (let i = 0; i < list.length; i++) {
    const given: unknown = list[i];
    const read = readReading(given, `${path}.sensor[${i}]`, rules);
    if ("reason" in read) errors.push({ ...read, given });
    else sensors.push(read);
  }
  const equipNome = typeof name === "string" ? name : null;
  return { equipment: { equipUuid: uuid, equipNome, sensors }, errors };
}

type ReadingFault = Omit<BulkFault, "given">;

function readReading(
  given: unknown,
  path: string,
  { judge, receivedUs }: BulkRules,
): BulkReading | ReadingFault {
  const refuse = (
    at: string,
    reason: string,
    deadLetterReason: DeadLetterReason = "bulk_invalid",
  ): ReadingFault => ({ path: `${path}${at}`, reason, deadLetterReason });
  if (!isObject(given))
    return refuse("", `expected an object, got ${shown(given)}`);
  const { sensor_uuid: uuid, sensor_tipo: type, valor, timestamp } = given;
  if (typeof uuid !== "string" || !isSegment(uuid))
    return refuse(".sensor_uuid", badId(uuid));
  if (typeof type !== "string" || !isPointName(type))
    return refuse(
      ".sensor_tipo",
      `expected a type of 1 to 128 printable characters, got ${shown(type)}`,
    );
  const typeClass = classOf(valor);
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
  return {
    sensorUuid: uuid,
    sensorTipo: type,
    timeUs,
    value: typeClass === "text" ? null : Number(valor),
    text: typeClass === "text" ? (valor as string) : null,
    typeClass,
    path,
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
