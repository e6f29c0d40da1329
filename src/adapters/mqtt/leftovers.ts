/**
 * A session keeps the subscriptions of its earlier settings: a bridge whose MQTT_TOPICS were narrowed, so that another one
 * takes the rest, would go on getting that rest, and everything of it would lie on the log twice.
 *
 * The protocol has no list of a session's subscriptions, but a message shows that there is one that matches its topic. So
 * every filter that could have brought a message nobody asked for is unsubscribed; the answer tells which one it was. The
 * message itself goes its way: it may have waited since before there was another bridge.
 */
import type { MqttClient } from "mqtt";
import { reasonOf } from "../../errors.js";
import type { Clock, Observer } from "../../ports.js";
import { filtersOf, matcher, subscriptions } from "./filters.js";

export interface Leftovers {
  /** Told of each connection: a new session has none. */
  resumed(sessionPresent: boolean): void;
  /** Ends those that the settings alone give away. */
  clear(client: MqttClient): Promise<void>;
  /** Told of each message's topic. */
  look(client: MqttClient, topic: string): void;
}

/** What was under way or queued when its subscription ended still comes: not a reason to ask again at once. */
const AGAIN_MS = 5000;
/** The UNSUBACK's "no subscription existed". */
const NONE_EXISTED = 17;

export function createLeftovers(settings: {
  readonly filters: readonly string[];
  readonly shareGroup?: string | undefined;
  readonly observer: Observer;
  readonly clock: Clock;
}): Leftovers {
  const { filters, shareGroup, observer, clock } = settings;
  const wanted = new Set(subscriptions(filters, shareGroup));
  const isAskedFor = matcher(filters);
  let resumed = false;
  let nextMs = Number.NEGATIVE_INFINITY;

  /** Answers those that there were, as far as the broker says so: MQTT 3.1.1 does not. */
  async function unsubscribe(
    client: MqttClient,
    candidates: readonly string[],
  ): Promise<string[]> {
    const answer = await client.unsubscribeAsync([...candidates]);
    const codes =
      answer !== undefined && "granted" in answer ? answer.granted : undefined;
    return Array.isArray(codes)
      ? candidates.filter((_, i) => Number(codes[i]) !== NONE_EXISTED)
      : [];
  }

  async function end(
    client: MqttClient,
    candidates: readonly string[],
    topic: string,
  ): Promise<void> {
    const ended = await unsubscribe(client, candidates);
    if (ended.length > 0)
      observer.emit({ type: "filters_left_over", filters: ended, topic });
  }

  return {
    resumed(sessionPresent) {
      resumed ||= sessionPresent;
    },
    async clear(client) {
      // From before there was a share group: a topic does not tell which of the two brought it.
      if (resumed && shareGroup !== undefined) await end(client, filters, "");
    },
    look(client, topic) {
      if (!resumed || isAskedFor(topic) || clock() < nextMs) return;
      nextMs = clock() + AGAIN_MS;
      const plain = filtersOf(topic);
      const candidates = [
        ...plain,
        ...(shareGroup === undefined ? [] : subscriptions(plain, shareGroup)),
      ].filter((filter) => !wanted.has(filter));
      if (candidates.length === 0) return;
      end(client, candidates, topic).catch((error: unknown) =>
        observer.emit({
          type: "failure",
          where: "mqtt subscription",
          error: reasonOf(error),
        }),
      );
    },
  };
}
