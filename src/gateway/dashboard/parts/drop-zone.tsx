/** Where files are dropped or chosen; each is sent after the other, and shown on its way. */
import { useRef, useState } from "preact/hooks";
import { bytesText } from "../format.js";
import { Refused } from "../http.js";
import { upload } from "../upload.js";
import { Failure, Link } from "./basics.js";

interface Sending {
  readonly id: string;
  readonly name: string;
  readonly bytes: number;
  /** 0 to 1. */
  readonly part: number;
  readonly claim: string | null;
  readonly failure: Refused | null;
}

export function DropZone({ onSent }: { readonly onSent: () => void }) {
  const [sendings, setSendings] = useState<readonly Sending[]>([]);
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const queue = useRef<Promise<void>>(Promise.resolve());

  const change = (id: string, to: Partial<Sending>): void =>
    setSendings((was) =>
      was.map((one) => (one.id === id ? { ...one, ...to } : one)),
    );

  function take(files: FileList | null): void {
    for (const file of files ?? []) {
      const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
      const { name, size: bytes } = file;
      setSendings((was) => [
        { id, name, bytes, part: 0, claim: null, failure: null },
        ...was,
      ]);
      queue.current = queue.current.then(() => send(id, file));
    }
  }

  async function send(id: string, file: File): Promise<void> {
    try {
      const { claim_id: claim } = await upload(
        file,
        id,
        (part) => change(id, { part }),
        new AbortController().signal,
      );
      change(id, { part: 1, claim });
      onSent();
    } catch (error) {
      const failure =
        error instanceof Refused
          ? error
          : new Refused(0, "FAILED", String(error));
      change(id, { failure });
    }
  }

  return (
    <section
      class={`drop ${over ? "over" : ""}`}
      aria-label="Upload files"
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        take(event.dataTransfer?.files ?? null);
      }}
    >
      <p class="drop-text">
        Drop files of readings here, or{" "}
        <button type="button" onClick={() => input.current?.click()}>
          choose files
        </button>
      </p>
      <p class="muted small">
        JSON as <code>POST /api/v1/telemetry/bulk</code> takes it, plain (.json)
        or gzipped (.json.gz)
      </p>
      <input
        ref={input}
        type="file"
        class="unseen"
        tabIndex={-1}
        aria-label="Files to upload"
        multiple
        accept=".json,.gz,application/json,application/gzip"
        onChange={({ currentTarget }) => {
          take(currentTarget.files);
          // The same file may be chosen again, mended.
          currentTarget.value = "";
        }}
      />
      {sendings.length > 0 && (
        <ul class="sendings">
          {sendings.map((one) => (
            <li key={one.id}>
              <div class="row">
                <strong>{one.name}</strong>
                <span class="muted">{bytesText(one.bytes)}</span>
                <span class="push">
                  {one.claim !== null ? (
                    <Link to={{ name: "uploads", claim: one.claim }}>
                      taken, see its claim
                    </Link>
                  ) : one.failure !== null ? (
                    "not taken"
                  ) : (
                    `${Math.round(one.part * 100)} %`
                  )}
                </span>
              </div>
              {one.failure === null ? (
                <progress
                  max={1}
                  value={one.part}
                  aria-label={`Upload of ${one.name}`}
                />
              ) : (
                <Failure failure={one.failure} />
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
