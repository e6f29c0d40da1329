/** What a command's request says: its schema, and what a schema cannot say of it. */
import { type Static, Type } from "typebox";
import { isFault } from "../../domain/fault.js";
import {
  COMPARISONS,
  POINT_CHARACTERS,
  readPrecondition,
  VALUE_CHARACTERS,
} from "../../domain/precondition.js";
import { refusal } from "../problems.js";

/** Seconds a command lives when the request does not say. */
export const USUAL_TTL_S = 60;
const WEEK_S = 7 * 24 * 3600;

const name = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 128, description }));
const Precondition = Type.Object(
  {
    point: Type.String({ minLength: 1, maxLength: POINT_CHARACTERS }),
    op: Type.Union(COMPARISONS.map((one) => Type.Literal(one))),
    value: Type.Union([
      Type.Number(),
      Type.Boolean(),
      Type.String({ maxLength: VALUE_CHARACTERS }),
    ]),
  },
  {
    additionalProperties: false,
    description:
      "on the device's last state, judged just before it is sent: if it does not hold, the command is rejected. lt, le, gt and ge take a number",
  },
);
export const CommandBody = Type.Object({
  op: name("what the device is to do"),
  command: name("the same in the older form; reaches the device as `op` too"),
  params: Type.Optional(Type.Unknown({ description: "any JSON" })),
  ttl_s: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: WEEK_S,
      description: `seconds until it expires; ${USUAL_TTL_S} when not given`,
    }),
  ),
  queue: Type.Optional(
    Type.Boolean({ description: "whether it may wait for an offline device" }),
  ),
  by: name("who gives it"),
  supersedes: Type.Optional(
    Type.Union([Type.String({ minLength: 1, maxLength: 128 }), Type.Null()], {
      description:
        "a slot: the device's older commands of this slot that have not ended are superseded",
    }),
  ),
  precondition: Type.Optional(Type.Union([Precondition, Type.Null()])),
});
export type CommandBody = Static<typeof CommandBody>;

/** Keys of a body that are not passed through: they have a place of their own, or the gateway alone says what they are. */
const NOT_EXTRA = new Set([
  "op",
  "params",
  "ttl_s",
  "queue",
  "by",
  "supersedes",
  "precondition",
  "schema",
  "cmd_id",
  "ts",
  "expires_at",
]);
/** NUL and lone surrogates (Cs under the u flag): no text column and no jsonb holds them. */
const UNSTORABLE = /[\0\p{Cs}]/u;

/** Further top-level keys, passed through to the device as they are. */
export function extraOf(body: CommandBody): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(body).filter(([key]) => !NOT_EXTRA.has(key)),
  );
}

/** @throws BAD_REQUEST when it names none. */
export function operationOf(body: CommandBody): string {
  const op = body.op ?? body.command;
  if (op !== undefined) return op;
  throw refusal("BAD_REQUEST", "the body says no operation", [
    { path: "body.op", reason: "must be given (or `command`, the older form)" },
  ]);
}

/** Refuses a condition that could never hold. */
export function mustBeJudgeable({ precondition }: CommandBody): void {
  if (precondition === undefined || precondition === null) return;
  const read = readPrecondition(precondition);
  if (!isFault(read)) return;
  const [path, reason] = read.detail.split(/: (.*)/s, 2);
  throw refusal("BAD_REQUEST", "the body's precondition cannot be judged", [
    { path: `body.${path}`, reason: reason ?? read.detail },
  ]);
}

/** Refuses what the database could not store: accepted means stored. */
export function mustBeStorable(body: object): void {
  for (const [key, value] of Object.entries(body))
    if (holdsUnstorable(key) || holdsUnstorable(value))
      throw refusal(
        "BAD_REQUEST",
        "the body holds text that cannot be stored",
        [
          {
            path: `body.${key.replaceAll(/[\0\p{Cs}]/gu, "\uFFFD")}`,
            reason: "must hold neither NUL nor half of a surrogate pair",
          },
        ],
      );
}

/** Without recursion: JSON may nest deeper than the stack. */
function holdsUnstorable(root: unknown): boolean {
  const open: unknown[] = [root];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value === "string" && UNSTORABLE.test(value)) return true;
    if (typeof value !== "object" || value === null) continue;
    for (const [key, inner] of Object.entries(value)) {
      if (UNSTORABLE.test(key)) return true;
      open.push(inner);
    }
  }
  return false;
}
