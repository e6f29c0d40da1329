/** Where the page is, kept in the browser's address and history. */
import { signal } from "@preact/signals";
import { isElsewhere, type Place, placeOf, urlOf } from "./places.js";

const current = (): string => location.pathname + location.search;

export const place = signal<Place>(placeOf(current()));
/** Counts arrivals at another place; its heading takes the focus then. */
export const arrivals = signal(0);

addEventListener("popstate", () => {
  const was = place.peek();
  place.value = placeOf(current());
  if (isElsewhere(was, place.peek())) arrivals.value++;
});

/** @param how `replace`: a change of what the same place shows, such as a search while it is typed */
export function go(to: Place, how: "push" | "replace" = "push"): void {
  const url = urlOf(to);
  const was = place.peek();
  if (how === "replace" || url === current())
    history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  place.value = to;
  if (!isElsewhere(was, to)) return;
  arrivals.value++;
  scrollTo(0, 0);
}
