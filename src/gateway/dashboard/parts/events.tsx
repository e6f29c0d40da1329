/** What happened at a device, newest first. */
import { useState } from "preact/hooks";
import type { DeviceEvent } from "../answers.js";
import { ask } from "../api.js";
import { useAsked } from "../asked.js";
import { Answered, Card, Empty, Moment, More } from "./basics.js";

const EVERY_MS = 10_000;
const STEP = 20;
/** What the route gives at most. */
const MOST = 1000;

export function Events({ device }: { readonly device: string }) {
  const [limit, setLimit] = useState(STEP);
  const asked = useAsked(
    `events ${device} ${limit}`,
    (signal) =>
      ask<{ events: DeviceEvent[]; next: string | null }>(
        `/devices/${encodeURIComponent(device)}/events?limit=${limit}`,
        { signal },
      ),
    EVERY_MS,
  );
  return (
    <Card title="Events" flush>
      <Answered asked={asked} what="its events">
        {({ events, next }) => (
          <>
            {events.length === 0 && (
              <Empty title="Nothing happened that it told of">
                What it publishes on its topic <code>…/event</code> is kept
                here.
              </Empty>
            )}
            <ul class="events">
              {events.map((event) => (
                <li key={`${event.time} ${JSON.stringify(event.payload)}`}>
                  <span class="muted">
                    <Moment iso={event.time} />
                  </span>
                  <code>{JSON.stringify(event.payload)}</code>
                </li>
              ))}
            </ul>
            <More
              when={next !== null && limit < MOST}
              show={() => setLimit(Math.min(MOST, limit * 3))}
            />
          </>
        )}
      </Answered>
    </Card>
  );
}
