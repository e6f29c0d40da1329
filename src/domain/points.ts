/** Which points of a message become rows. */
import type { Point } from "./message.js";

/**
 * A number further from zero is no row: avg or stddev of its hour could leave the doubles (22003), and the refresh of the
 * aggregate would fail with it, for every tenant. PostgreSQL squares `N × value − sum`, which within this bound is at most
 * 2 × N × 1e140: were there a reading in each of a day's 8.64e10 microseconds, 3e302 of the 1.8e308 that a double holds.
 */
const MAX_MAGNITUDE = 1e140;

/** Whether averages and deviations can be made of it; null stands for a text. */
export const isBearable = (value: number | null): boolean =>
  value === null || Math.abs(value) <= MAX_MAGNITUDE;

/** The rule in words, after the place of the number. */
export const unbearable = (value: number): string =>
  `${value} is beyond ±${MAX_MAGNITUDE}, where averages overflow`;

export interface Sorted {
  /** The first of each name. */
  readonly stored: readonly Point[];
  /** An earlier point of the message has their name, refused or not. */
  readonly conflicts: readonly Point[];
  /** The first of their name, with a number that is not bearable. */
  readonly refused: readonly Point[];
}

const NONE: readonly Point[] = [];
/** Up to here comparing all names with one another is faster than making a set of them. */
const FEW_POINTS = 8;

export function sortPoints(points: readonly Point[]): Sorted {
  if (points.length <= FEW_POINTS && allGood(points))
    return { stored: points, conflicts: NONE, refused: NONE };
  const names = new Set<string>();
  const stored: Point[] = [];
  const conflicts: Point[] = [];
  const refused: Point[] = [];
  for (const point of points) {
    if (names.has(point.name)) conflicts.push(point);
    else (isBearable(point.value) ? stored : refused).push(point);
    names.add(point.name);
  }
  return { stored, conflicts, refused };
}

function allGood(points: readonly Point[]): boolean {
  for (let i = 0; i < points.length; i++) {
    const { name, value } = points[i]!;
    if (!isBearable(value)) return false;
    for (let j = 0; j < i; j++) if (points[j]!.name === name) return false;
  }
  return true;
}
