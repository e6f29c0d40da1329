/** What could not be stored, by its cause; what to do about it; and devices whose actor crashed too often. */
import { useState } from "preact/hooks";
import type { LetterCause, Quarantined } from "../answers.js";
import { ask } from "../api.js";
import { useAsked } from "../asked.js";
import { countText, plural } from "../format.js";
import { deviceAt } from "../places.js";
import { mayOperate } from "../session.js";
import {
  Ago,
  Answered,
  Badge,
  Card,
  Empty,
  Heading,
  Link,
  Moment,
  Segments,
} from "../parts/basics.js";
import { Cause } from "../parts/cause.js";
import { Confirm } from "../parts/dialog.js";
import { say } from "../parts/toasts.js";

const EVERY_MS = 5000;

type Choice = "unsettled" | "stored" | "dropped";
const CHOICES: readonly { readonly key: Choice; readonly text: string }[] = [
  { key: "unsettled", text: "Unsettled" },
  { key: "stored", text: "Stored since" },
  { key: "dropped", text: "Dropped" },
];

const queryOf = (choice: Choice): string =>
  choice === "unsettled" ? "" : `&state=${choice}`;

export function DeadLetters({
  fingerprint,
}: {
  readonly fingerprint: string | null;
}) {
  const [choice, setChoice] = useState<Choice>("unsettled");
  const asked = useAsked(
    `causes ${choice}`,
    (signal) =>
      ask<{ causes: LetterCause[] }>(
        `/dead-letters?limit=1000${queryOf(choice)}`,
        { signal },
      ),
    EVERY_MS,
  );
  if (!mayOperate())
    return (
      <>
        <Heading>Dead letters</Heading>
        <Empty title="Only operators read dead letters">
          They hold what devices sent, byte by byte. Ask an admin for the role
          operator.
        </Empty>
      </>
    );
  if (fingerprint !== null)
    return <Cause fingerprint={fingerprint} settled={asked.again} />;
  return (
    <>
      <div class="page-head">
        <Heading>Dead letters</Heading>
        <span class="muted">
          messages that could not be stored, kept as they came
        </span>
      </div>
      <Card
        title="Causes"
        flush
        aside={
          <Segments
            label="Which letters"
            options={CHOICES}
            chosen={choice}
            choose={setChoice}
          />
        }
      >
        <Answered asked={asked} what="the causes">
          {({ causes }) => (
            <>
              {causes.length === 0 && (
                <Empty
                  title={
                    choice === "unsettled"
                      ? "No message waits for anybody"
                      : "There is none of these"
                  }
                >
                  {choice === "unsettled" &&
                    "What devices sent was stored, or was settled since."}
                </Empty>
              )}
              <ul class="causes">
                {causes.map((cause) => (
                  <CauseRow key={cause.fingerprint} cause={cause} />
                ))}
              </ul>
            </>
          )}
        </Answered>
      </Card>
      <Quarantine />
    </>
  );
}

function CauseRow({ cause }: { readonly cause: LetterCause }) {
  return (
    <li>
      <Link
        class="cause-link"
        to={{ name: "dead-letters", fingerprint: cause.fingerprint }}
      >
        <span class="cause-count">
          <strong>{countText(cause.messages)}</strong>
          <span class="muted">
            {cause.messages === 1 ? "message" : "messages"}
          </span>
        </span>
        <span class="cause-what">
          <span>
            <Badge tone="warn">{cause.reason}</Badge>
            {cause.adapter !== null && (
              <Badge tone="quiet">{cause.adapter}</Badge>
            )}
            {cause.firmware !== null && (
              <Badge tone="quiet">fw {cause.firmware}</Badge>
            )}
          </span>
          <span class="cause-text">{cause.cause}</span>
        </span>
        <span class="muted cause-when">
          {plural(cause.devices, "device")}
          <span>
            last <Ago iso={cause.last_at} />
          </span>
        </span>
      </Link>
    </li>
  );
}

function Quarantine() {
  const asked = useAsked(
    "quarantine",
    (signal) => ask<{ devices: Quarantined[] }>("/quarantine", { signal }),
    EVERY_MS,
  );
  const [release, setRelease] = useState<string | null>(null);
  return (
    <Card title="Quarantine" flush>
      <Answered asked={asked} what="the devices in quarantine">
        {({ devices }) =>
          devices.length === 0 ? (
            <Empty title="No device is in quarantine">
              One whose messages crash its actor five times in a minute is kept
              apart for ten minutes; its messages become dead letters meanwhile.
            </Empty>
          ) : (
            <ul class="services">
              {devices.map(({ device_id: id, until }) => (
                <li key={id}>
                  <Link to={deviceAt(id)} class="service-name">
                    {id}
                  </Link>
                  <span class="muted service-note">
                    until <Moment iso={until} />
                  </span>
                  <button
                    type="button"
                    class="small"
                    onClick={() => setRelease(id)}
                  >
                    Release
                  </button>
                </li>
              ))}
            </ul>
          )
        }
      </Answered>
      {release !== null && (
        <Confirm
          title={`Release ${release}?`}
          act="Release it"
          onClose={() => setRelease(null)}
          run={async () => {
            await ask(`/devices/${encodeURIComponent(release)}/release`, {
              method: "POST",
            });
            say(`${release} is being released`);
            asked.again();
          }}
        >
          <p>
            Its messages are taken again at once. If they still crash its actor,
            it is back here soon.
          </p>
        </Confirm>
      )}
    </Card>
  );
}
