/** Files on their way to the gateway, one after the other. They go on while other pages are looked at, until the user leaves. */
import { effect, signal } from "@preact/signals";
import { Refused } from "./http.js";
import { session } from "./session.js";
import { upload } from "./upload.js";

export interface Sending {
  /** Its idempotency key too: sent again, it is the same claim. */
  readonly id: string;
  readonly file: File;
  /** 0 to 1. */
  readonly part: number;
  readonly claim: string | null;
  readonly failure: Refused | null;
}

/** Newest first. */
export const sendings = signal<readonly Sending[]>([]);
/** Counts files that the gateway has taken. */
export const takenCount = signal(0);

let over = new AbortController();
let queue = Promise.resolve();

effect(() => {
  if (session.value.state !== "out") return;
  over.abort();
  over = new AbortController();
  sendings.value = [];
});

export function sendFiles(files: Iterable<File>): void {
  for (const file of files) {
    const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
    sendings.value = [
      { id, file, part: 0, claim: null, failure: null },
      ...sendings.peek(),
    ];
    enqueue(id, file);
  }
}

export function sendAgain({ id, file }: Sending): void {
  change(id, { part: 0, failure: null });
  enqueue(id, file);
}

/** Whether the same bytes may be taken later: no answer came, or one that was about the moment. */
export const isForLater = ({ status }: Refused): boolean =>
  status === 0 || status >= 500 || [401, 408, 409, 429].includes(status);

function enqueue(id: string, file: File): void {
  const { signal } = over;
  queue = queue.then(() => (signal.aborted ? undefined : send(id, file)));
}

async function send(id: string, file: File): Promise<void> {
  try {
    const { claim_id: claim } = await upload(
      file,
      id,
      (part) => change(id, { part }),
      over.signal,
    );
    change(id, { part: 1, claim });
    takenCount.value++;
  } catch (error) {
    const failure =
      error instanceof Refused
        ? error
        : new Refused(0, "FAILED", String(error));
    change(id, { failure });
  }
}

function change(id: string, to: Partial<Sending>): void {
  sendings.value = sendings
    .peek()
    .map((one) => (one.id === id ? { ...one, ...to } : one));
}
