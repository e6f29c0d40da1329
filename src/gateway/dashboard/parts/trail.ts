/** The newest values of a number that is asked for again and again. */
import { useRef } from "preact/hooks";

/** A value every three seconds: five minutes. */
const MOST = 100;

/** @param atMs when it was answered: the same answer counts once */
export function useTrail(
  value: number | null,
  atMs: number,
): readonly number[] {
  const trail = useRef<{ atMs: number; values: number[] }>({
    atMs: 0,
    values: [],
  });
  if (value !== null && atMs !== trail.current.atMs)
    trail.current = {
      atMs,
      values: [...trail.current.values, value].slice(-MOST),
    };
  return trail.current.values;
}
