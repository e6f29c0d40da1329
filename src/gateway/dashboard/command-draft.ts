/** What was typed into the form of a command, and what is wrong with it. Pure. */

export interface Draft {
  readonly op: string;
  /** JSON; nothing for none. */
  readonly params: string;
  readonly ttl: string;
  readonly queue: boolean;
  readonly supersedes: string;
  readonly point: string;
  readonly comparison: Comparison;
  readonly value: string;
}

export const COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"] as const;
export type Comparison = (typeof COMPARISONS)[number];

export const EMPTY: Draft = {
  op: "",
  params: "",
  ttl: "60",
  queue: false,
  supersedes: "",
  point: "",
  comparison: "eq",
  value: "",
};

export type Faults = Readonly<
  Partial<Record<"op" | "params" | "ttl" | "value", string | undefined>>
>;

const WEEK_S = 7 * 24 * 3600;
const NUMBERS_ONLY: ReadonlySet<Comparison> = new Set(["lt", "le", "gt", "ge"]);

/** The body of the request, or what is to be corrected. */
export function bodyOf(
  draft: Draft,
):
  | { readonly body: Readonly<Record<string, unknown>> }
  | { readonly faults: Faults } {
  const faults: Record<string, string> = {};
  const op = draft.op.trim();
  if (op === "") faults["op"] = "Say what the device is to do.";
  let params: unknown;
  if (draft.params.trim() !== "")
    try {
      params = JSON.parse(draft.params);
    } catch (error) {
      faults["params"] = `This is no JSON: ${(error as Error).message}`;
    }
  const ttl = Number(draft.ttl);
  if (!Number.isInteger(ttl) || ttl < 1 || ttl > WEEK_S)
    faults["ttl"] = `Whole seconds, 1 to ${WEEK_S} (a week).`;
  const point = draft.point.trim();
  const value = valueOf(draft.value);
  if (point !== "") {
    if (draft.value.trim() === "")
      faults["value"] = "Say what to compare with.";
    else if (NUMBERS_ONLY.has(draft.comparison) && typeof value !== "number")
      faults["value"] = "This comparison needs a number.";
  }
  if (Object.keys(faults).length > 0) return { faults };
  return {
    body: {
      op,
      ...(params !== undefined && { params }),
      ttl_s: ttl,
      ...(draft.queue && { queue: true }),
      ...(draft.supersedes.trim() !== "" && {
        supersedes: draft.supersedes.trim(),
      }),
      ...(point !== "" && {
        precondition: { point, op: draft.comparison, value },
      }),
    },
  };
}

/** `true`, `7.5` and `"7.5"` are what they are in JSON; any other text is that text. */
function valueOf(text: string): number | boolean | string {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "number" ||
      typeof value === "boolean" ||
      typeof value === "string"
      ? value
      : text;
  } catch {
    return text.trim();
  }
}
