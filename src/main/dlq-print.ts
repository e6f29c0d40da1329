/** Dead letters as a person reads them, and as JSON where bytes have to be said. */
import { isUtf8 } from "node:buffer";
import { whyNotReplayable } from "../domain/replay.js";
import type { LetterCause, LetterFilter, StoredLetter } from "../ports.js";
import { table } from "./table.js";

/** Characters of a payload that a terminal is given. */
const SHOWN_PAYLOAD = 4000;

export function causesTable(causes: readonly LetterCause[]): string {
  if (causes.length === 0) return "no dead letters";
  const messages = causes.reduce((sum, one) => sum + one.messages, 0);
  const since = Math.min(...causes.map(({ firstMs }) => firstMs));
  const rows = causes.map((one) => [
    one.fingerprint,
    String(one.messages),
    String(one.devices),
    time(one.firstMs),
    time(one.lastMs),
    [one.reason, one.adapter, one.firmware]
      .filter((it) => it !== null)
      .join(" "),
    one.cause,
  ]);
  const head = ["cause", "messages", "devices", "first", "last", "reason", ""];
  return [
    `${count(messages, "message")}, ${count(causes.length, "cause")}, since ${time(since)}`,
    "",
    table([head, ...rows]),
  ].join("\n");
}

export function lettersTable(letters: readonly StoredLetter[]): string {
  if (letters.length === 0) return "no dead letters";
  const rows = letters.map((one) => [
    String(one.id),
    time(one.atMs),
    one.state,
    one.tenant ?? "-",
    one.device ?? "-",
    one.reason,
    one.detail.length > 100 ? `${one.detail.slice(0, 100)}…` : one.detail,
  ]);
  const head = ["letter", "failed", "state", "tenant", "device", "reason", ""];
  return table([head, ...rows]);
}

type WholeLetter = StoredLetter & { readonly payload: Buffer };

export function letterText(letter: WholeLetter): string {
  const { place } = letter;
  const facts = Object.entries({
    letter: letter.id,
    reason: `${letter.reason}: ${letter.detail}`,
    cause: letter.fingerprint,
    device: `${letter.device ?? "unknown"} of tenant ${letter.tenant ?? "unknown"}`,
    adapter: letter.adapter ?? "none named",
    firmware: letter.firmware ?? "not said",
    failed: `${new Date(letter.atMs).toISOString()}, attempts ${letter.attempts}`,
    topic: letter.topic,
    record: `${place.topic}/${place.partition} offset ${place.offset}${letter.item < 0 ? "" : `, point ${letter.item}`}`,
    state: stateText(letter),
    payload: `${letter.size} bytes${letter.truncated ? `, of which the first ${letter.payload.length} were kept` : ""}`,
  });
  const text = payloadText(letter.payload);
  return [
    ...facts.map(([name, value]) => `${name.padEnd(9)} ${value}`),
    "",
    text.length > SHOWN_PAYLOAD
      ? `${text.slice(0, SHOWN_PAYLOAD)}… (all that was kept: --json)`
      : text,
  ].join("\n");
}

export function letterJson({ payload, ...letter }: WholeLetter): object {
  const why = whyNotReplayable(letter.place.topic, letter.reason);
  return {
    ...letter,
    replayable: why === null,
    ...(why !== null && { why_not: why }),
    ...(isUtf8(payload)
      ? { payload: payload.toString("utf8") }
      : { payload_base64: payload.toString("base64") }),
  };
}

function stateText(letter: StoredLetter): string {
  const moved =
    letter.movedMs === null
      ? ""
      : ` since ${new Date(letter.movedMs).toISOString()}`;
  const run = letter.run === null ? "" : ` (replay ${letter.run})`;
  const why = whyNotReplayable(letter.place.topic, letter.reason);
  const cannot = why === null ? "" : `; cannot be replayed: ${why}`;
  return `${letter.state}${moved}${run}${cannot}`;
}

const payloadText = (payload: Buffer): string =>
  isUtf8(payload)
    ? // No device is to move an operator's cursor.
      payload.toString("utf8").replace(/[\p{Cc}\p{Cf}]/gu, "\uFFFD")
    : `(base64) ${payload.toString("base64")}`;

/** A filter in words, for the audit log. */
export const selectionText = (filter: LetterFilter): string =>
  Object.entries(filter)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ") || "all";

const time = (ms: number): string =>
  new Date(ms).toISOString().slice(0, 16).replace("T", " ");

const count = (n: number, what: string): string =>
  `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
