/** What a part of the page asks the gateway for, once or again and again while somebody looks. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Refused } from "./http.js";

/** Milliseconds at most until what was refused is asked for again. */
const AGAIN_MS = 3000;

export interface Asked<T> {
  /** The newest answer; it stays while a later question fails. */
  readonly value: T | null;
  readonly failure: Refused | null;
  /** Unix milliseconds of the newest answer; 0 for none. */
  readonly atMs: number;
  again(): void;
}

/**
 * @param key another key is another question: its answer begins anew
 * @param everyMs null: once; nothing is asked while the tab is hidden
 */
export function useAsked<T>(
  key: string,
  question: (signal: AbortSignal) => Promise<T>,
  everyMs: number | null,
): Asked<T> {
  const [found, setFound] = useState<{
    key: string;
    value: T | null;
    failure: Refused | null;
    atMs: number;
  }>({ key, value: null, failure: null, atMs: 0 });
  const newest = useRef(question);
  newest.current = question;
  const [turn, setTurn] = useState(0);

  useEffect(() => {
    const over = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async (): Promise<void> => {
      clearTimeout(timer);
      if (document.hidden && everyMs !== null) return;
      let nextMs = everyMs;
      try {
        const value = await newest.current(over.signal);
        if (over.signal.aborted) return;
        setFound({ key, value, failure: null, atMs: Date.now() });
      } catch (error) {
        if (over.signal.aborted) return;
        if (everyMs !== null) nextMs = Math.min(everyMs, AGAIN_MS);
        const failure =
          error instanceof Refused
            ? error
            : new Refused(0, "FAILED", String(error));
        setFound((was) => ({
          key,
          value: was.key === key ? was.value : null,
          failure,
          atMs: was.key === key ? was.atMs : 0,
        }));
      }
      if (nextMs !== null) timer = setTimeout(() => void look(), nextMs);
    };
    const shown = (): void => {
      if (!document.hidden && everyMs !== null) void look();
    };
    document.addEventListener("visibilitychange", shown);
    void look();
    return () => {
      over.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [key, everyMs, turn]);

  const again = useCallback(() => setTurn((was) => was + 1), []);
  const current = found.key === key;
  return {
    value: current ? found.value : null,
    failure: current ? found.failure : null,
    atMs: current ? found.atMs : 0,
    again,
  };
}
