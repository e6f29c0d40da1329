/** The time that ages are shown by: one beat a second for the whole page, and none while nobody looks. */
import { signal } from "@preact/signals";

export const nowMs = signal(Date.now());

setInterval(() => {
  if (!document.hidden) nowMs.value = Date.now();
}, 1000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) nowMs.value = Date.now();
});
