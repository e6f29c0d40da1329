/** Which dead letters a request is about. */
import type { FastifyRequest } from "fastify";
import { type Static, Type } from "typebox";
import { parseTime } from "../domain/time.js";
import { DEAD_LETTER_REASONS } from "../errors.js";
import type { LetterFilter, LetterState } from "../ports.js";
import { tenantOf } from "./deps.js";
import { refusal } from "./problems.js";
import { limit, text } from "./schemas.js";

export const A_PAGE = { usual: 100, most: 1000 };
/** Messages of one request: more are for further requests, or for the command line. */
export const A_REPLAY = { usual: 1000, most: 10_000 };
const UNSETTLED: readonly LetterState[] = ["open", "replaying"];
const ALL: readonly LetterState[] = [...UNSETTLED, "stored", "dropped"];

const SELECTION = {
  fingerprint: Type.Optional(
    Type.String({ pattern: "^[0-9a-f]{12}$", description: "of one cause" }),
  ),
  reason: Type.Optional(
    Type.Union(DEAD_LETTER_REASONS.map((reason) => Type.Literal(reason))),
  ),
  device: Type.Optional(text(128, "device id")),
  since: Type.Optional(
    text(64, "failed since: ISO 8601, Unix seconds or milliseconds"),
  ),
  until: Type.Optional(text(64, "failed before")),
};
const STATE = Type.Optional(
  Type.Union(
    [...ALL, "all" as const].map((state) => Type.Literal(state)),
    { description: "open and replaying when not given" },
  ),
);
export const CausesQuery = Type.Object({
  ...SELECTION,
  state: STATE,
  limit: limit(1, A_PAGE.most, A_PAGE.usual),
});
export const LettersQuery = Type.Object({
  ...CausesQuery.properties,
  cursor: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      description: "`next` of the page before",
    }),
  ),
});
export const LetterParams = Type.Object({
  letter_id: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
});
const CHOICE = {
  ...SELECTION,
  letter_id: Type.Optional(LetterParams.properties.letter_id),
  all: Type.Optional(
    Type.Boolean({ description: "every one, where nothing else is given" }),
  ),
};
export const ReplayBody = Type.Object({
  ...CHOICE,
  dry_run: Type.Optional(
    Type.Boolean({
      description: "only say what would be stored, and what fails again",
    }),
  ),
  limit: limit(1, A_REPLAY.most, A_REPLAY.usual),
});
export const DropBody = Type.Object(CHOICE);
export const RunParams = Type.Object({
  run: text(64, "as the replay's 202 gave it"),
});

export type Selection = Static<typeof DropBody>;

export function filterOf(
  request: FastifyRequest,
  given: Selection,
  place: "query" | "body",
): LetterFilter {
  return {
    tenant: tenantOf(request),
    device: given.device ?? null,
    reason: given.reason ?? null,
    fingerprint: given.fingerprint ?? null,
    id: given.letter_id ?? null,
    sinceMs: momentOf(`${place}.since`, given.since),
    untilMs: momentOf(`${place}.until`, given.until),
  };
}

/** @throws BAD_REQUEST where nothing is chosen: an empty body is not to mean everything */
export function chosen(request: FastifyRequest, body: Selection): LetterFilter {
  const { tenant: _, ...rest } = filterOf(request, body, "body");
  const some = Object.values(rest).some((value) => value !== null);
  if (!some && body.all !== true)
    throw refusal(
      "BAD_REQUEST",
      'say which dead letters: fingerprint, reason, device, since, until, letter_id, or "all": true',
    );
  return { tenant: tenantOf(request), ...rest };
}

export const statesOf = (given: LetterState | "all" | undefined) =>
  given === undefined ? UNSETTLED : given === "all" ? ALL : [given];

/** Within the years that a timestamptz is written in. */
const LATEST_MS = Date.UTC(9999, 0, 1);

/** Unix milliseconds; null when not given. */
function momentOf(path: string, given: string | undefined): number | null {
  if (given === undefined) return null;
  const us = parseTime(/^\d+(\.\d+)?$/.test(given) ? Number(given) : given);
  const ms = Math.floor(us / 1000);
  if (ms >= 0 && ms < LATEST_MS) return ms;
  throw refusal("BAD_REQUEST", `\`${path}\` is no time`, [
    { path, reason: "must be ISO 8601, Unix seconds or milliseconds" },
  ]);
}
