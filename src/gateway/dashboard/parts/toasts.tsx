/** Short words on what was done, for eyes and for readers; they go by themselves. */
import { signal } from "@preact/signals";

interface Toast {
  readonly id: number;
  readonly text: string;
}

/** Milliseconds. */
const SHOWN_MS = 6000;
const toasts = signal<readonly Toast[]>([]);
let last = 0;

export function say(text: string): void {
  const id = ++last;
  toasts.value = [...toasts.value, { id, text }];
  setTimeout(() => {
    toasts.value = toasts.value.filter((one) => one.id !== id);
  }, SHOWN_MS);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, text }) => (
        <p key={id} class="toast">
          {text}
        </p>
      ))}
    </div>
  );
}
