/** The value of a record of `device-commands` (contracts, section 2), as the gateway writes it. */
import { isUtf8 } from "node:buffer";
import { reasonOf } from "../errors.js";
import { type Fault, fault, invalid, isFault, shown } from "./fault.js";
import { unstorablePath } from "./json-text.js";
import type { CancelRequest, CommandRequest } from "./message.js";
import { DEFAULT_TENANT, isSegment } from "./names.js";
import { readPrecondition } from "./precondition.js";
import { parseTime } from "./time.js";

type Fields = Readonly<Record<string, unknown>>;

/** What the record asks for, and of which device. */
export interface CommandRecord {
  readonly tenant: string;
  readonly deviceId: string;
  /** Null for a release from quarantine. */
  readonly request: CommandRequest | CancelRequest | null;
  /** When it was asked for, microseconds; null where the record does not say. */
  readonly askedUs: number | null;
}

export function readCommandRecord(value: Buffer | null): CommandRecord | Fault {
  const fields = readFields(value);
  if (isFault(fields)) return fields;
  const { kind, device_id: deviceId } = fields;
  const tenant = fields["tenant"] ?? DEFAULT_TENANT;
  if (typeof deviceId !== "string" || !isSegment(deviceId))
    return notASegment("device_id", deviceId);
  if (typeof tenant !== "string" || !isSegment(tenant))
    return notASegment("tenant", tenant);
  switch (kind) {
    case "command": {
      const request = readRequest(fields);
      return isFault(request)
        ? request
        : { tenant, deviceId, request, askedUs: request.createdUs };
    }
    case "release": {
      const askedUs = parseTime(fields["ts"]);
      return {
        tenant,
        deviceId,
        request: null,
        askedUs: Number.isNaN(askedUs) ? null : askedUs,
      };
    }
    case "cancel": {
      const request = readCancel(fields, tenant, deviceId);
      return isFault(request)
        ? request
        : { tenant, deviceId, request, askedUs: request.askedUs };
    }
    default:
      return invalid(
        `kind: expected command, cancel or release, got ${shown(kind)}`,
      );
  }
}

function readFields(value: Buffer | null): Fields | Fault {
  if (value === null) return fault("parse_error", "the record has no value");
  if (!isUtf8(value))
    return fault("parse_error", "the record's value is not UTF-8");
  const text = value.toString("utf8");
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch (error) {
    return fault(
      "parse_error",
      `the record's value is not JSON: ${reasonOf(error)}`,
    );
  }
  if (typeof fields !== "object" || fields === null || Array.isArray(fields))
    return invalid(
      `the record's value: expected an object, got ${shown(fields)}`,
    );
  const path = unstorablePath(text, fields);
  if (path !== null)
    return invalid(`${shown(path)}: holds NUL or half of a surrogate pair`);
  return { ...fields };
}

function readRequest(fields: Fields): CommandRequest | Fault {
  const { op, params = {}, queue = false } = fields;
  const named = readNames(fields);
  if (isFault(named)) return named;
  const extra = fields["extra"] ?? {};
  const createdUs = parseTime(fields["ts"]);
  const expiresUs = parseTime(fields["expires_at"]);
  if (typeof op !== "string" || op === "")
    return invalid(`op: expected a string that is not empty, got ${shown(op)}`);
  if (Number.isNaN(createdUs))
    return invalid(`ts: expected a time, got ${shown(fields["ts"])}`);
  if (Number.isNaN(expiresUs))
    return invalid(
      `expires_at: expected a time, got ${shown(fields["expires_at"])}`,
    );
  if (typeof queue !== "boolean")
    return invalid(`queue: expected true or false, got ${shown(queue)}`);
  if (typeof extra !== "object" || Array.isArray(extra))
    return invalid(`extra: expected an object, got ${shown(extra)}`);
  const supersedes = fields["supersedes"] ?? null;
  if (
    supersedes !== null &&
    (typeof supersedes !== "string" || !/^.{1,128}$/su.test(supersedes))
  )
    return invalid(
      `supersedes: expected a slot's name of 1 to 128 characters, got ${shown(supersedes)}`,
    );
  const condition = fields["precondition"] ?? null;
  const precondition = condition === null ? null : readPrecondition(condition);
  // Executing a command without regard to its condition would be worse than refusing it.
  if (precondition !== null && isFault(precondition)) return precondition;
  return {
    ...named,
    op,
    params,
    createdUs,
    expiresUs,
    queue,
    supersedes,
    precondition,
    extra: extra as Fields,
  };
}

function readCancel(
  fields: Fields,
  tenant: string,
  deviceId: string,
): CancelRequest | Fault {
  const named = readNames(fields);
  if (isFault(named)) return named;
  const askedUs = parseTime(fields["ts"]);
  if (Number.isNaN(askedUs))
    return invalid(`ts: expected a time, got ${shown(fields["ts"])}`);
  return { tenant, deviceId, cancels: named.cmdId, by: named.by, askedUs };
}

/** Which command, and who says so. */
function readNames(fields: Fields): { cmdId: string; by: string } | Fault {
  const { cmd_id: cmdId } = fields;
  const by = fields["by"] ?? "";
  if (typeof cmdId !== "string" || !/^[\x21-\x7e]{1,128}$/.test(cmdId))
    return invalid(
      `cmd_id: expected 1 to 128 visible ASCII characters, got ${shown(cmdId)}`,
    );
  if (typeof by !== "string")
    return invalid(`by: expected a string, got ${shown(by)}`);
  return { cmdId, by };
}

const notASegment = (field: string, value: unknown): Fault =>
  invalid(
    `${field}: expected 1 to 128 characters of [A-Za-z0-9._:-], got ${shown(value)}`,
  );
