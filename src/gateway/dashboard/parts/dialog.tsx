/** Dialogs: the browser's own, which hold the focus, close on Escape and give the focus back. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Refused } from "../http.js";
import { Failure } from "./basics.js";

export function Dialog({
  title,
  onClose,
  focusAfter,
  children,
}: {
  readonly title: string;
  readonly onClose: () => void;
  /** What gets the focus at the end; where it is not set, what had it before. */
  readonly focusAfter?: { readonly current: HTMLElement | null };
  readonly children?: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const self = dialog.current!;
    const before = document.activeElement;
    self.showModal();
    return () => {
      // Nothing outside of it takes the focus while it is open.
      self.close();
      const after = focusAfter?.current ?? before;
      if (after instanceof HTMLElement) after.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby="dialog-title"
      onClose={() => {
        // The browser tells of it a moment later: of one that is gone, while the next question may be open.
        if (dialog.current !== null) onClose();
      }}
      onClick={(event) => {
        // The backdrop is the dialog itself; its content is not.
        if (event.target === dialog.current) dialog.current?.close();
      }}
    >
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id="dialog-title">{title}</h2>
          <button
            type="button"
            class="quiet icon"
            aria-label="Close"
            onClick={() => dialog.current?.close()}
          >
            ✕
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

/** A question before what cannot be undone. */
export function Confirm({
  title,
  act,
  danger = false,
  run,
  then,
  onClose,
  children,
}: {
  readonly title: string;
  /** What the button says: a verb. */
  readonly act: string;
  readonly danger?: boolean;
  readonly run: () => Promise<void>;
  /** Takes the focus once it is done, where the button that asked has nothing to do any more. */
  readonly then?: { readonly current: HTMLElement | null };
  readonly onClose: () => void;
  readonly children?: ComponentChildren;
}) {
  const { busy, failure, doing } = useDoing();
  const focusAfter = useRef<HTMLElement | null>(null);
  async function confirmed(): Promise<void> {
    await run();
    focusAfter.current = then?.current ?? null;
    onClose();
  }
  return (
    <Dialog title={title} onClose={onClose} focusAfter={focusAfter}>
      <div class="stack">
        {children}
        {failure !== null && <Failure failure={failure} />}
        <div class="row end">
          <button type="button" onClick={onClose}>
            Leave it
          </button>
          <button
            type="button"
            class={danger ? "danger" : "primary"}
            disabled={busy}
            onClick={() => doing(confirmed)}
          >
            {act}
          </button>
        </div>
      </div>
    </Dialog>
  );
}

/** An act of the user's: busy while it runs, and its failure to be shown. */
export function useDoing(): {
  readonly busy: boolean;
  readonly failure: Refused | null;
  readonly doing: (work: () => Promise<void>) => void;
} {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Refused | null>(null);
  return {
    busy,
    failure,
    doing(work) {
      setBusy(true);
      setFailure(null);
      work()
        .catch((error: unknown) =>
          setFailure(
            error instanceof Refused
              ? error
              : new Refused(0, "FAILED", String(error)),
          ),
        )
        .finally(() => setBusy(false));
    },
  };
}
