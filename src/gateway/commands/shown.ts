/** Commands as the API shows them. */
import { toIso } from "../../domain/time.js";
import type { AcceptedCommand, CommandRecord } from "../../ports.js";

export function shownRecord(record: CommandRecord) {
  return {
    cmd_id: record.cmdId,
    device_id: record.deviceId,
    op: record.op,
    params: record.params,
    state: record.state,
    ok: record.ok,
    err: record.err,
    history: record.history,
    by: record.by,
    supersedes: record.supersedes,
    precondition: record.precondition,
    created_at: toIso(record.createdUs),
    expires_at: toIso(record.expiresUs),
  };
}

/** The log has it, the database not yet. */
export function shownAccepted(deviceId: string, command: AcceptedCommand) {
  return {
    cmd_id: command.cmdId,
    device_id: deviceId,
    op: command.op,
    params: command.params,
    state: "accepted" as const,
    ok: null,
    err: null,
    history: [
      { state: "accepted", at: iso(command.createdMs), evidence: "log" },
    ],
    created_at: iso(command.createdMs),
    expires_at: iso(command.expiresMs),
  };
}

export const iso = (ms: number): string => toIso(ms * 1000);
