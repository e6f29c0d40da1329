/** Dead letters as the routes show them. */
import { isUtf8 } from "node:buffer";
import { whyNotReplayable } from "../domain/replay.js";
import { toIso } from "../domain/time.js";
import type { LetterCause, StoredLetter } from "../ports.js";

export const causeShown = ({ firstMs, lastMs, ...cause }: LetterCause) => ({
  ...cause,
  first_at: iso(firstMs),
  last_at: iso(lastMs),
});

export function letterShown(letter: StoredLetter) {
  const { place } = letter;
  const why = whyNotReplayable(place.topic, letter.reason);
  return {
    id: letter.id,
    device_id: letter.device,
    topic: letter.topic,
    reason: letter.reason,
    detail: letter.detail,
    fingerprint: letter.fingerprint,
    adapter: letter.adapter,
    firmware: letter.firmware,
    attempts: letter.attempts,
    at: iso(letter.atMs),
    log: { ...place, item: letter.item },
    state: letter.state,
    run: letter.run,
    moved_at: letter.movedMs === null ? null : iso(letter.movedMs),
    replayable: why === null,
    ...(why !== null && { why_not: why }),
    payload_size: letter.size,
    truncated: letter.truncated,
  };
}

/** `payload` as text where it is UTF-8, else `payload_base64`. */
export const wholeLetterShown = ({
  payload,
  ...letter
}: StoredLetter & { readonly payload: Buffer }) => ({
  ...letterShown(letter),
  ...(isUtf8(payload)
    ? { payload: payload.toString("utf8") }
    : { payload_base64: payload.toString("base64") }),
});

const iso = (ms: number): string => toIso(ms * 1000);
