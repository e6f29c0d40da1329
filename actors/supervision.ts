/**
 * What fails, and what happens:
 * - bytes that do not decode: a dead letter; no actor is involved.
 * - the reducer throws: the state before the batch stands, its messages go one at a time within the same handling; one that
 *   throws again is a dead letter `actor_crash`, the others take effect in order.
 * - too many such crashes in the window: the device's messages go to the dead letters as `quarantined` for a while, or
 *   until an operator releases it.
 * - the shell itself throws: the partition's supervisor stops its children, and the lane starts again from its stored
 *   offset.
 */
export const SUPERVISION = {
  /** Tries of a message before it counts as poison: once with its batch, once alone. */
  attempts: 2,
  crashesToQuarantine: 5,
  crashWindowMs: 60_000,
  quarantineMs: 600_000,
} as const;
