/** Where files are dropped or chosen; each is shown on its way. */
import { useEffect, useRef, useState } from "preact/hooks";
import { bytesText } from "../format.js";
import {
  isForLater,
  sendAgain,
  sendFiles,
  sendings,
  takenCount,
} from "../sendings.js";
import { Failure, Link } from "./basics.js";

/** @param onTaken is called for each file that the gateway has taken */
export function DropZone({ onTaken }: { readonly onTaken: () => void }) {
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const taken = takenCount.value;
  useEffect(() => {
    if (taken > 0) onTaken();
  }, [taken, onTaken]);
  useEffect(() => {
    addEventListener("dragover", refuse);
    addEventListener("drop", refuse);
    return () => {
      removeEventListener("dragover", refuse);
      removeEventListener("drop", refuse);
    };
  }, []);

  function offered(event: DragEvent): void {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    setOver(true);
  }

  return (
    <section
      class={`drop ${over ? "over" : ""}`}
      aria-label="Upload files"
      onDragEnter={offered}
      onDragOver={offered}
      onDragLeave={({ currentTarget, relatedTarget }) => {
        // What it holds is left and entered, too.
        if (!currentTarget.contains(relatedTarget as Node | null))
          setOver(false);
      }}
      onDrop={(event) => {
        setOver(false);
        if (!holdsFiles(event)) return;
        event.preventDefault();
        sendFiles(event.dataTransfer.files);
      }}
    >
      <p class="drop-text">
        Drop files of readings here, or{" "}
        <button type="button" onClick={() => input.current?.click()}>
          choose files
        </button>
      </p>
      <p class="muted small">
        {over ? (
          "Let go, and it is sent"
        ) : (
          <>
            JSON as <code>POST /api/v1/telemetry/bulk</code> takes it, plain
            (.json) or gzipped (.json.gz)
          </>
        )}
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
          sendFiles(currentTarget.files ?? []);
          // The same file may be chosen again, mended.
          currentTarget.value = "";
        }}
      />
      {sendings.value.length > 0 && (
        <ul class="sendings">
          {sendings.value.map((one) => (
            <li key={one.id}>
              <div class="row">
                <strong>{one.file.name}</strong>
                <span class="muted">{bytesText(one.file.size)}</span>
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
                  aria-label={`Upload of ${one.file.name}`}
                />
              ) : (
                <Failure
                  failure={one.failure}
                  {...(isForLater(one.failure) && {
                    again: () => sendAgain(one),
                  })}
                />
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

type FileDrag = DragEvent & { readonly dataTransfer: DataTransfer };

const holdsFiles = (event: DragEvent): event is FileDrag =>
  event.dataTransfer?.types.includes("Files") === true;

/** A file let go beside the area would be opened by the browser, in the place of the page. */
function refuse(event: DragEvent): void {
  if (event.defaultPrevented || !holdsFiles(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "none";
}
