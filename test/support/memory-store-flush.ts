/** A flush of the in-memory TelemetryStore: judged first, then applied at once. */
import type { Row } from "../../src/domain/device.js";
import type { CommandRequest, DeadLetter } from "../../src/domain/message.js";
import { placeText } from "../../src/domain/replay.js";
import { address } from "../../src/domain/names.js";
import { toIso } from "../../src/domain/time.js";
import {
  type CommandLife,
  hasEnded,
  isCancel,
  liveOn,
  standsBefore,
} from "../../src/domain/command-life.js";
import {
  letterOfConflict,
  letterOfRefused,
} from "../../src/adapters/timescale/dead-letters.js";
import type {
  CommandState,
  Flush,
  FlushResult,
  RefusedRow,
} from "../../src/ports.js";
import { newestOf } from "./memory-store-devices.js";
import type { MemoryState } from "./memory-store-state.js";

export function fenceAnswer(
  state: MemoryState,
  { fence, partition }: Flush,
): "moved" | "already" | "elsewhere" | "lost" {
  const standing = fence.map((move) => {
    const row = state.fences.get(`${move.topic}/${partition}`);
    if (row === undefined || row.epoch < move.epoch) return "elsewhere";
    if (row.epoch > move.epoch) return "lost";
    if (row.nextOffset === move.from || row.nextOffset === -1) return "moved";
    return row.nextOffset === move.to ? "already" : "elsewhere";
  });
  if (standing.includes("lost")) return "lost";
  if (standing.includes("elsewhere")) return "elsewhere";
  // A topic that stays where it is fits both answers.
  return fence.some(
    (move, i) => standing[i] === "already" && move.from !== move.to,
  )
    ? "already"
    : "moved";
}

export function judgeRows(
  state: MemoryState,
  batch: Flush,
  refusal: (row: Row) => string | null,
) {
  const fresh = new Map<string, Row>();
  const conflicts: DeadLetter[] = [];
  const refused: RefusedRow[] = [];
  let duplicates = 0;
  for (const row of batch.changes.flatMap((change) => change.rows)) {
    if (row.sensor.id === 0)
      throw new Error(
        `sensor ${row.sensor.name} was not registered before its flush`,
      );
    const detail = refusal(row);
    if (detail !== null) {
      refused.push({ row, detail });
      continue;
    }
    const key = `${row.sensor.id}/${row.timeUs}`;
    const stands = state.rows.get(key)?.row ?? fresh.get(key);
    if (stands === undefined) fresh.set(key, row);
    else if (stands.value === row.value && stands.text === row.text)
      duplicates++;
    else
      conflicts.push(
        letterOfConflict({ row, value: stands.value, text: stands.text }),
      );
  }
  return { fresh, conflicts, refused, duplicates };
}

export function commit(
  state: MemoryState,
  batch: Flush,
  judged: ReturnType<typeof judgeRows>,
): FlushResult {
  for (const move of batch.fence) {
    const row = state.fences.get(`${move.topic}/${batch.partition}`)!;
    row.owner = batch.owner;
    row.clusterId = batch.clusterId;
    if (move.to > move.from) {
      row.nextOffset = move.to;
      row.lastRecordMs = move.lastRecordMs;
    }
  }
  for (const [key, row] of judged.fresh)
    state.rows.set(key, {
      row,
      kept: {
        address: row.sensor.device.address,
        name: row.sensor.name,
        typeClass: row.sensor.typeClass,
        timeUs: row.timeUs,
        value: row.value,
        text: row.text,
      },
    });
  const inserted = insertCommands(state, batch);
  const { ended, judged: holding } = moveCommands(state, batch, inserted);
  const queued = inserted.filter(
    ({ cmdId }) => !hasEnded(state.commands.get(cmdId)!.state),
  );
  for (const {
    device,
    events: happened,
    untimed,
    quarantinedUntilMs,
    firmware,
  } of batch.changes) {
    for (const event of happened) {
      const key = `${device.equipmentId}/${event.timeUs}/${event.hash}`;
      if (!state.events.has(key)) state.events.set(key, event);
    }
    const known = state.devices.get(device.address);
    if (known === undefined) continue;
    if (untimed !== null) known.untimed = untimed;
    if (quarantinedUntilMs !== null)
      known.quarantinedUntilMs = quarantinedUntilMs;
    if (firmware !== null && !batch.introduced.has(device.equipmentId))
      known.firmware = firmware;
  }
  for (const { device, seenUs, online, cause } of batch.presence) {
    const known = state.devices.get(device.address);
    if (known === undefined || batch.introduced.has(device.equipmentId))
      continue;
    known.lastSeenUs = Math.max(known.lastSeenUs, seenUs);
    known.online = online;
    known.cause = cause;
    known.partition = batch.partition;
    if (known.ref.site === null)
      state.devices.set(device.address, {
        ...known,
        ref: { ...known.ref, site: device.site },
      });
  }
  keepLetters(state, batch, [
    ...batch.deadLetters,
    ...batch.changes.flatMap((change) => change.deadLetters),
    ...judged.conflicts,
    ...judged.refused.map(letterOfRefused),
  ]);
  state.flushes.push(batch);
  const { duplicates, conflicts, refused } = judged;
  return {
    fence: "moved",
    stored: judged.fresh.size,
    duplicates,
    conflicts: conflicts.length,
    refused: refused.length,
    queued,
    judged: holding,
    ended,
    sawDuplicates: duplicates + conflicts.length > 0,
  };
}

function keepLetters(
  state: MemoryState,
  { replays }: Flush,
  letters: readonly DeadLetter[],
): void {
  const failed = new Set(
    letters
      .filter(({ item }) => item < 0)
      .map(({ source }) => placeText(source)),
  );
  const again = new Set<string>();
  for (const place of new Set(replays.map(placeText)))
    for (const [at, { source, reason }] of state.letters) {
      if (placeText(source) !== place || state.replayed.has(at)) continue;
      if (reason === "conflict") continue;
      again.add(at);
      if (!failed.has(place)) state.replayed.add(at);
    }
  for (const letter of letters) {
    const at = `${placeText(letter.source)}/${letter.item}`;
    const known = state.letters.get(at);
    if (known === undefined) state.letters.set(at, letter);
    else if (again.has(at)) {
      state.replayed.delete(at);
      state.letters.set(at, { ...letter, attempts: known.attempts + 1 });
    }
  }
}

function insertCommands(state: MemoryState, batch: Flush): CommandRequest[] {
  const queued: CommandRequest[] = [];
  for (const { device, commands: requests } of batch.changes)
    for (const request of requests) {
      if (isCancel(request)) continue;
      if (state.commands.has(request.cmdId)) continue;
      queued.push(request);
      state.commands.set(request.cmdId, {
        address: device.address,
        partition: batch.partition,
        request,
        device,
        state: "queued",
        ok: null,
        err: null,
        judged: false,
        history: [
          {
            state: "accepted",
            at: toIso(request.createdUs),
            evidence: "log",
          },
          { state: "queued", at: new Date().toISOString(), evidence: "row" },
        ],
      });
    }
  return queued;
}

function moveCommands(
  state: MemoryState,
  batch: Flush,
  inserted: readonly CommandRequest[],
): {
  ended: { cmdId: string; state: CommandState }[];
  judged: string[];
} {
  const lives = new Map<string, CommandLife>(
    [...state.commands].map(
      ([cmdId, { device, request, state, ok, err, judged }]) => [
        cmdId,
        {
          tenant: device.tenant,
          deviceId: device.deviceId,
          slot: request.supersedes,
          precondition: request.precondition,
          state,
          ok,
          err,
          judged,
          awaited: inserted.includes(request),
          added: [],
        },
      ],
    ),
  );
  const { acks, judged } = liveOn(lives, {
    sendings: batch.commandChanges,
    changes: batch.changes,
    toJudge: batch.toJudge,
    newest: ({ tenant, deviceId }) => {
      const known = state.devices.get(address(tenant, deviceId));
      return known === undefined
        ? null
        : (newestOf(state, known.ref)?.payload ?? null);
    },
  });
  for (const kept of acks) {
    const key = `${kept.ack.address} ${kept.ack.cmdId}`;
    const standing = state.acks.get(key);
    if (standing === undefined || standsBefore(kept.ack, standing.ack))
      state.acks.set(key, kept);
  }
  const ended: { cmdId: string; state: CommandState }[] = [];
  for (const [cmdId, life] of lives) {
    if (life.added.length === 0) continue;
    const command = state.commands.get(cmdId)!;
    command.state = life.state;
    command.ok = life.ok;
    command.err = life.err;
    command.judged = life.judged;
    command.history.push(...life.added);
    if (hasEnded(life.state)) ended.push({ cmdId, state: life.state });
  }
  return { ended, judged };
}
