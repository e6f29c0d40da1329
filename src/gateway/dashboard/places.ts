/** The page's addresses: which place each one is, and back. Pure. */

export const RANGES = ["1h", "5h", "1d", "1w", "1M", "1y"] as const;
export type Range = (typeof RANGES)[number];

export const PRESENCES = ["all", "online", "offline", "quarantined"] as const;
export type PresenceFilter = (typeof PRESENCES)[number];

export type Place =
  | { readonly name: "fleet" }
  | {
      readonly name: "devices";
      readonly search: string;
      readonly show: PresenceFilter;
    }
  | { readonly name: "device"; readonly id: string; readonly range: Range }
  | { readonly name: "dead-letters"; readonly fingerprint: string | null }
  | { readonly name: "uploads"; readonly claim: string | null }
  | { readonly name: "nowhere"; readonly path: string };

const BASE = "/ui";

/** @param url path and query, such as `/ui/devices?show=offline` */
export function placeOf(url: string): Place {
  const [path = "", query = ""] = url.split(/[?#]/, 2);
  const given = new Map(
    query
      .split("&")
      .filter((pair) => pair !== "")
      .map((pair) => {
        const [key = "", value = ""] = pair.split("=", 2);
        return [key, decoded(value)];
      }),
  );
  const [first, second, ...more] = path
    .replace(/^\/ui(?=\/|$)/, "")
    .split("/")
    .filter((part) => part !== "")
    .map(decoded);
  if (more.length > 0) return { name: "nowhere", path };
  if (first === undefined || (first === "fleet" && second === undefined))
    return { name: "fleet" };
  if (first === "devices" && second === undefined)
    return {
      name: "devices",
      search: given.get("search") ?? "",
      show: oneOf(PRESENCES, given.get("show")) ?? "all",
    };
  if (first === "devices" && second !== undefined)
    return {
      name: "device",
      id: second,
      range: oneOf(RANGES, given.get("range")) ?? "1h",
    };
  if (first === "dead-letters")
    return { name: "dead-letters", fingerprint: second ?? null };
  if (first === "uploads") return { name: "uploads", claim: second ?? null };
  return { name: "nowhere", path };
}

export function urlOf(place: Place): string {
  switch (place.name) {
    case "fleet":
      return "/";
    case "devices":
      return `${BASE}/devices${queryOf({
        search: place.search,
        show: place.show === "all" ? "" : place.show,
      })}`;
    case "device":
      return `${BASE}/devices/${encodeURIComponent(place.id)}${queryOf({
        range: place.range === "1h" ? "" : place.range,
      })}`;
    case "dead-letters":
      return `${BASE}/dead-letters${partOf(place.fingerprint)}`;
    case "uploads":
      return `${BASE}/uploads${partOf(place.claim)}`;
    case "nowhere":
      return place.path;
  }
}

export const deviceAt = (id: string): Place => ({
  name: "device",
  id,
  range: "1h",
});

export const devicesAt = (show: PresenceFilter = "all"): Place => ({
  name: "devices",
  search: "",
  show,
});

/** Whether going from one to the other is arriving somewhere; what stands behind the `?` is how a place is shown. */
export const isElsewhere = (from: Place, to: Place): boolean =>
  pathOf(from) !== pathOf(to);

const pathOf = (place: Place): string => urlOf(place).split("?", 1).join();

const partOf = (part: string | null): string =>
  part === null ? "" : `/${encodeURIComponent(part)}`;

function queryOf(values: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(values)
    .filter(([, value]) => value !== "")
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

/** A text that is no well-formed encoding is taken as it is: somebody typed it. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}

const oneOf = <T extends string>(
  all: readonly T[],
  given: string | undefined,
): T | undefined => all.find((one) => one === given);
