/** What a look at a dependency found, for the person who set it up. */
export interface Finding {
  /** `advice` works, with a drawback; `wrong` must be put right. */
  readonly verdict: "ok" | "advice" | "wrong";
  /** What was looked at and how it is, in one sentence. */
  readonly found: string;
  /** What to do about it; null when all is well. */
  readonly remedy: string | null;
}

export const fine = (found: string): Finding => ({
  verdict: "ok",
  found,
  remedy: null,
});
export const advice = (found: string, remedy: string): Finding => ({
  verdict: "advice",
  found,
  remedy,
});
export const wrong = (found: string, remedy: string): Finding => ({
  verdict: "wrong",
  found,
  remedy,
});
