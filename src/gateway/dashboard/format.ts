/** Numbers, times and sizes as people read them. Pure: what depends on the clock takes it as an argument. */

const NARROW = "\u202f";

/** 1234567 → `1 234 567`; four digits after the point at most, fewer for larger numbers. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return value.toExponential(3);
  const digits = size >= 1000 ? 1 : size >= 100 ? 2 : size >= 1 ? 3 : 4;
  const rounded = Number(value.toFixed(digits));
  const [whole = "", fraction] = String(Math.abs(rounded)).split(".");
  const grouped = whole.replaceAll(/\B(?=(\d{3})+$)/g, NARROW);
  return `${rounded < 0 ? "−" : ""}${grouped}${fraction === undefined ? "" : `.${fraction}`}`;
}

/** A number beside an axis, in few characters: 1 800 000 → `1.8M`. */
export function axisText(value: number): string {
  const size = Math.abs(value);
  for (const [least, letter] of LETTERS)
    if (size >= least)
      return `${value < 0 ? "−" : ""}${Number((size / (letter === "k" ? 1000 : least)).toPrecision(4))}${letter}`;
  return numberText(value);
}

const LETTERS = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e5, "k"],
] as const;

/** A count: null is what nobody knows. */
export const countText = (count: number | null | undefined): string =>
  count == null ? "–" : numberText(count);

export function valueText(value: unknown): string {
  if (typeof value === "number") return numberText(value);
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value === "string") return value;
  return value === null || value === undefined ? "–" : JSON.stringify(value);
}

const UNITS = ["B", "KB", "MB", "GB", "TB"];

/** 1536 → `1.5 KB`; steps of 1024. */
export function bytesText(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${UNITS[unit]}`;
}

/** A span of milliseconds in its one or two largest units: `4 s`, `3 min`, `2 h 5 min`, `3 d`. */
export function spanText(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 24) return min % 60 === 0 ? `${h} h` : `${h} h ${min % 60} min`;
  const d = Math.floor(h / 24);
  return d < 3 && h % 24 !== 0 ? `${d} d ${h % 24} h` : `${d} d`;
}

/** How long ago, or `in 5 min` for what is to come; under two seconds is `now`. */
export function agoText(ms: number, nowMs: number): string {
  const span = nowMs - ms;
  if (Math.abs(span) < 2000) return "now";
  return span > 0 ? `${spanText(span)} ago` : `in ${spanText(-span)}`;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** Local time: the hour alone for today, with the day for other days. */
export function momentText(ms: number, nowMs: number): string {
  const at = new Date(ms);
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  if (at.toDateString() === new Date(nowMs).toDateString()) return clock;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`;
}

/** Local time to the millisecond with its zone, and UTC: for those who compare with logs. */
export function exactText(iso: string): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  const minutes = -at.getTimezoneOffset();
  const zone = `${minutes < 0 ? "−" : "+"}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
  const ms = String(at.getMilliseconds()).padStart(3, "0");
  const local = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${ms} ${zone}`;
  return `${local} · ${iso}`;
}

/** `1 device`, `3 devices`. */
export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${numberText(count)} ${count === 1 ? one : many}`;

/** A tick of a time axis, local: by what the axis is wide, seconds. */
export function tickText(ms: number, spanS: number): string {
  const at = new Date(ms);
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}`;
  if (spanS <= 2 * DAY_S) return clock;
  const day = `${at.getDate()} ${MONTHS[at.getMonth()]}`;
  return spanS > 90 * DAY_S
    ? `${MONTHS[at.getMonth()]} ${at.getFullYear()}`
    : day;
}

const DAY_S = 86_400;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
