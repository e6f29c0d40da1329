/** The device's data for a range: read, then kept up by the live stream. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { FullMessage } from "../answers.js";
import { addLive, type DeviceData, readData } from "../device-data.js";
import { Refused } from "../http.js";
import type { Range } from "../places.js";

export interface Charted {
  readonly data: DeviceData | null;
  readonly failure: Refused | null;
  /** Another number: something was added to the data. */
  readonly version: number;
  again(): void;
  take(updates: readonly FullMessage[]): void;
}

/** Messages held for what is read while they come. */
const NEWEST = 200;
/** Milliseconds between readings from the server of what only it can read. */
const VENDOR_MS = 10_000;

export function useDeviceData(device: string, range: Range): Charted {
  const [found, setFound] = useState<{
    readonly of: string;
    readonly data: DeviceData | null;
    readonly failure: Refused | null;
  }>({ of: "", data: null, failure: null });
  const [version, setVersion] = useState(0);
  const [turn, setTurn] = useState(0);
  const current = useRef<DeviceData | null>(null);
  const newest = useRef<readonly FullMessage[]>([]);
  const readMs = useRef(0);
  const of = `${device} ${range}`;

  useEffect(() => {
    const over = new AbortController();
    readData(device, range, over.signal).then(
      (data) => {
        readMs.current = Date.now();
        // What came while it was read may be in it or not: what is there already is not taken twice.
        for (const message of newest.current) addLive(data, message);
        current.current = data;
        setFound({ of, data, failure: null });
      },
      (error: unknown) => {
        if (over.signal.aborted) return;
        const failure =
          error instanceof Refused
            ? error
            : new Refused(0, "FAILED", String(error));
        setFound((was) => ({
          of,
          data: was.of === of ? was.data : null,
          failure,
        }));
      },
    );
    return () => over.abort();
  }, [of, turn]);

  const again = useCallback(() => setTurn((was) => was + 1), []);
  const take = useCallback((updates: readonly FullMessage[]): void => {
    const data = current.current;
    newest.current = [...newest.current, ...updates].slice(-NEWEST);
    if (data === null) return;
    const read = updates.map((message) => addLive(data, message));
    if (read.some((one) => !one) && Date.now() - readMs.current > VENDOR_MS) {
      readMs.current = Date.now();
      again();
    }
    setVersion((was) => was + 1);
  }, []);
  const fits = found.of === of;
  if (!fits) current.current = null;
  return {
    data: fits ? found.data : null,
    failure: fits ? found.failure : null,
    version,
    again,
    take,
  };
}
