/** Dark or light: as the system says, until somebody says otherwise on this page. */
import { signal } from "@preact/signals";

type Theme = "system" | "light" | "dark";

const KEPT = "twinstream.theme";
const wantsDark = matchMedia("(prefers-color-scheme: dark)");

const kept = localStorage.getItem(KEPT);
const theme = signal<Theme>(
  kept === "light" || kept === "dark" ? kept : "system",
);
/** Changes with every change of colours, for what is drawn and not styled. */
export const isDark = signal(false);

function apply(): void {
  const chosen = theme.peek();
  isDark.value = chosen === "system" ? wantsDark.matches : chosen === "dark";
  document.documentElement.dataset["theme"] = isDark.value ? "dark" : "light";
}

wantsDark.addEventListener("change", apply);
apply();

export function switchTheme(): void {
  theme.value = isDark.peek() ? "light" : "dark";
  localStorage.setItem(KEPT, theme.peek());
  apply();
}

/** A colour of the style sheet, by the name of its variable. */
export const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
