/** The topic filters of a bridge: read from the settings, held against each other, and found again in a topic. */
import { TwinstreamError } from "../../errors.js";

/**
 * The filters of MQTT_TOPICS with the tenants' prefix filled in.
 * @throws TwinstreamError CONFIG_INVALID when one is no filter, or two match the same topics: a broker may then deliver a
 * message twice (MQTT 5, 3.3.4), and what carries no time of its own would be stored twice.
 */
export function topicFilters(topics: string, prefix: string): string[] {
  const filters = topics
    .split(",")
    .map((topic) => topic.trim().replaceAll("{prefix}", prefix))
    .filter((topic) => topic !== "");
  if (filters.length === 0)
    throw invalid("names no topic; leave it out for all of them");
  for (const [i, filter] of filters.entries()) {
    if (filter.startsWith("$share/"))
      throw invalid(
        `has ${filter}: leave $share/… out and set MQTT_SHARE_GROUP`,
      );
    if (!isFilter(filter))
      throw invalid(
        `has ${filter}, which is no topic filter: + and # stand for whole levels, # only for the last`,
      );
    const other = filters.slice(0, i).find((one) => overlap(one, filter));
    if (other !== undefined)
      throw invalid(
        `has ${other} and ${filter}, which match the same topics: a message may then come twice; leave one out, or narrow it`,
      );
  }
  return filters;
}

/** As members of a share group where there is one. */
export const subscriptions = (
  filters: readonly string[],
  shareGroup: string | undefined,
): string[] =>
  shareGroup === undefined
    ? [...filters]
    : filters.map((filter) => `$share/${shareGroup}/${filter}`);

/** What a person should know of these filters before a second bridge takes the others; a sentence each. */
export function cautions(filters: readonly string[], prefix: string): string[] {
  const found: string[] = [];
  for (const filter of filters) {
    const levels = filter.split("/");
    const commands = ["devices/+/commands", `${prefix}/+/+/+/cmd`].find((one) =>
      overlap(one, filter),
    );
    if (commands !== undefined)
      found.push(
        `${filter} takes in ${commands}, the commands to devices: each would end as a dead letter; name the kinds instead`,
      );
    const last = levels.at(-1);
    if (
      levels.length === 5 &&
      levels[0] === prefix &&
      (last === "state" || last === "event")
    ) {
      const readings = [...levels.slice(0, -1), "telem"].join("/");
      if (!filters.some((one) => overlap(one, readings)))
        found.push(
          `${filter} without ${readings}: where another bridge takes that, a device's ${last} may overtake its readings`,
        );
    }
  }
  return found;
}

/** Whether a topic matches one of them: one expression for all, since it is asked of every message. */
export function matcher(
  filters: readonly string[],
): (topic: string) => boolean {
  const expressions = filters.map((filter) =>
    filter
      .replaceAll(/[\\^$.*?()[\]{}|]/g, "\\$&")
      .replaceAll("+", "[^/]*")
      // `#` stands for its parent level too.
      .replace(/\/?#$/, "(?:/.*)?")
      .replace(/^\(\?:\/\.\*\)\?$/, ".*"),
  );
  const any = new RegExp(`^(?:${expressions.join("|")})$`, "s");
  return (topic) => any.test(topic);
}

/** Whether some topic matches both. */
export function overlap(one: string, other: string): boolean {
  const a = one.split("/");
  const b = other.split("/");
  for (let i = 0; ; i += 1) {
    // `#` stands for its parent level too.
    if (a[i] === "#" || b[i] === "#") return true;
    if (a[i] === undefined || b[i] === undefined) return a[i] === b[i];
    if (a[i] !== b[i] && a[i] !== "+" && b[i] !== "+") return false;
  }
}

/** Levels of the topics that we know, and so many filters match a topic: 94 of five levels. */
const MOST_LEVELS = 5;

/**
 * Every filter that matches the topic: one of them is what a session is still subscribed to when it delivers a message that
 * nobody asks for any more. The protocol knows no way to list them. None for topics deeper than those of devices.
 */
export function filtersOf(topic: string): string[] {
  const levels = topic.split("/");
  if (levels.length > MOST_LEVELS || topic.startsWith("$")) return [];
  let heads = [""];
  const all = ["#"];
  for (const [i, level] of levels.entries()) {
    heads = heads.flatMap((head) => [
      i === 0 ? level : `${head}/${level}`,
      i === 0 ? "+" : `${head}/+`,
    ]);
    all.push(...heads.map((head) => `${head}/#`));
  }
  return [...all, ...heads];
}

function isFilter(filter: string): boolean {
  const levels = filter.split("/");
  return levels.every(
    (level, i) =>
      !/[+#\0]/.test(level) ||
      level === "+" ||
      (level === "#" && i === levels.length - 1),
  );
}

const invalid = (what: string): TwinstreamError =>
  new TwinstreamError("CONFIG_INVALID", `bad settings:\n  MQTT_TOPICS ${what}`);
