/** One cause of dead letters: its letters, a rehearsal of their replay, the replay itself, or giving them up. */
import { useRef, useState } from "preact/hooks";
import type { Letter, LetterCause, Rehearsal, ReplayRun } from "../answers.js";
import { ask } from "../api.js";
import { useAsked } from "../asked.js";
import { countText, plural } from "../format.js";
import { deviceAt } from "../places.js";
import {
  Answered,
  Badge,
  Card,
  Empty,
  Failure,
  Heading,
  Link,
  Moment,
  More,
  type Tone,
} from "./basics.js";
import { Confirm, useDoing } from "./dialog.js";
import { LetterBytes } from "./letter.js";
import { say } from "./toasts.js";

const EVERY_MS = 5000;
const STEP = 50;
/** What the route gives at most. */
const MOST = 1000;
const TONES: Readonly<Record<Letter["state"], Tone>> = {
  open: "warn",
  replaying: "info",
  stored: "good",
  dropped: "quiet",
};

export function Cause({
  fingerprint,
  settled,
}: {
  readonly fingerprint: string;
  /** Something was done about it. */
  readonly settled: () => void;
}) {
  const [limit, setLimit] = useState(STEP);
  const [told, setTold] = useState<Rehearsal | null>(null);
  const [run, setRun] = useState<ReplayRun | null>(null);
  const [asks, setAsks] = useState<"replay" | "drop" | null>(null);
  const about = useRef<HTMLParagraphElement>(null);
  const { busy, failure, doing } = useDoing();
  const which = `fingerprint=${encodeURIComponent(fingerprint)}`;
  const asked = useAsked(
    `letters ${fingerprint} ${limit}`,
    async (signal) => {
      const [{ causes }, unsettled, { letters, next }] = await Promise.all([
        ask<{ causes: LetterCause[] }>(`/dead-letters?${which}&state=all`, {
          signal,
        }),
        ask<{ causes: LetterCause[] }>(`/dead-letters?${which}`, { signal }),
        ask<{ letters: Letter[]; next: number | null }>(
          `/dead-letters/letters?${which}&state=all&limit=${limit}`,
          { signal },
        ),
      ]);
      return {
        cause: causes[0] ?? null,
        isSettled: unsettled.causes.length === 0,
        letters,
        more: next !== null,
      };
    },
    EVERY_MS,
  );
  const found = asked.value;
  const cause = found?.cause ?? null;

  const rehearse = (): void =>
    doing(async () =>
      setTold(
        await ask<Rehearsal>("/dead-letters/replay", {
          method: "POST",
          body: { fingerprint, dry_run: true },
        }),
      ),
    );
  async function replay(): Promise<void> {
    const done = await ask<ReplayRun>("/dead-letters/replay", {
      method: "POST",
      body: { fingerprint },
    });
    setRun(done);
    setTold(null);
    say(`${plural(done.appended, "message")} replayed`);
    asked.again();
    settled();
  }
  async function drop(): Promise<void> {
    const { dropped } = await ask<{ dropped: number }>("/dead-letters/drop", {
      method: "POST",
      body: { fingerprint },
    });
    setTold(null);
    say(`${plural(dropped, "letter")} dropped`);
    asked.again();
    settled();
  }

  return (
    <>
      <nav class="crumbs" aria-label="Path">
        <Link to={{ name: "dead-letters", fingerprint: null }}>
          ← Dead letters
        </Link>
      </nav>
      <div class="page-head">
        <Heading>{cause?.reason ?? fingerprint}</Heading>
        {cause !== null && (
          <div class="facts">
            <span class="muted">
              {plural(cause.messages, "message")} of{" "}
              {plural(cause.devices, "device")} since{" "}
              <Moment iso={cause.first_at} />
            </span>
          </div>
        )}
      </div>
      {found === null && (
        <Answered asked={asked} what="its letters">
          {() => null}
        </Answered>
      )}
      {found !== null && cause === null && (
        <Empty title={`There is no letter of the cause ${fingerprint}`}>
          Letters go when their time is over (DLQ_RETENTION_DAYS).
        </Empty>
      )}
      {cause !== null && (
        <Card title="What to do">
          <div class="stack">
            <p class="cause-text" tabIndex={-1} ref={about}>
              {cause.cause}
            </p>
            {found?.isSettled === true ? (
              <p class="muted">
                Nothing is left to do: all of its letters were stored since, or
                dropped.
              </p>
            ) : (
              <>
                <p class="muted">
                  Mend the cause, look with a dry run whether it is mended, then
                  replay: the records go onto the log again, untouched, and are
                  judged as of their first arrival.
                </p>
                <div class="row">
                  <button type="button" disabled={busy} onClick={rehearse}>
                    {busy ? "Looking…" : "Dry run"}
                  </button>
                  <button
                    type="button"
                    class="primary"
                    onClick={() => setAsks("replay")}
                  >
                    Replay
                  </button>
                  <button
                    type="button"
                    class="danger"
                    onClick={() => setAsks("drop")}
                  >
                    Drop
                  </button>
                </div>
              </>
            )}
            {failure !== null && <Failure failure={failure} />}
            {told !== null && <Told told={told} />}
            {run !== null && <Run run={run} />}
          </div>
        </Card>
      )}
      {cause !== null && found !== null && (
        <Card title="Letters" flush>
          <ul class="letters">
            {found.letters.map((letter) => (
              <LetterRow key={letter.id} letter={letter} />
            ))}
          </ul>
          <More
            when={found.more && limit < MOST}
            show={() => setLimit(Math.min(MOST, limit * 3))}
          />
        </Card>
      )}
      {asks === "replay" && (
        <Confirm
          title="Replay these letters?"
          act="Replay"
          run={replay}
          then={about}
          onClose={() => setAsks(null)}
        >
          <p>
            Up to 1,000 messages are appended to the log again. One that fails
            again stays here, with its new reason; one that is stored already is
            not stored twice.
          </p>
        </Confirm>
      )}
      {asks === "drop" && (
        <Confirm
          title="Drop these letters?"
          act="Drop"
          danger
          run={drop}
          then={about}
          onClose={() => setAsks(null)}
        >
          <p>
            They are given up: no replay takes them any more. They stay to be
            seen until their time is over.
          </p>
        </Confirm>
      )}
    </>
  );
}

function Told({ told }: { readonly told: Rehearsal }) {
  const failed = Object.entries(told.failed);
  return (
    <div class="notice info" role="status">
      <strong>Dry run:</strong> {plural(told.stored.messages, "message")} with{" "}
      {plural(told.stored.points, "reading")} would be stored
      {told.noted > 0 && <>, {countText(told.noted)} noted</>}
      {failed.map(([reason, count]) => (
        <span key={reason}>
          , {countText(count)} would fail again as <code>{reason}</code>
        </span>
      ))}
      {told.gone > 0 && <>, {countText(told.gone)} are gone from the log</>}.
    </div>
  );
}

/** What becomes of a replay is told by the lanes, moments later. */
function Run({ run }: { readonly run: ReplayRun }) {
  const asked = useAsked(
    run.run,
    (signal) =>
      ask<{ letters: Readonly<Record<Letter["state"], number>> }>(
        `/dead-letters/replays/${run.run}`,
        { signal },
      ),
    2000,
  );
  const states = Object.entries(asked.value?.letters ?? {}).filter(
    ([, count]) => count > 0,
  );
  return (
    <div class="notice good" role="status">
      <strong>Replayed:</strong> {plural(run.appended, "message")} appended
      {run.gone > 0 && <>, {countText(run.gone)} gone from the log</>}
      {!run.complete && <>; there are more, replay again</>}.{" "}
      {states.map(([state, count]) => (
        <Badge key={state} tone={TONES[state as Letter["state"]]}>
          {countText(count)} {state === "open" ? "failed again" : state}
        </Badge>
      ))}
    </div>
  );
}

function LetterRow({ letter }: { readonly letter: Letter }) {
  const [open, setOpen] = useState(false);
  return (
    <li>
      <details
        onToggle={({ currentTarget }) =>
          setOpen((currentTarget as HTMLDetailsElement).open)
        }
      >
        <summary>
          <Badge tone={TONES[letter.state]}>{letter.state}</Badge>
          <strong class="op">{letter.device_id ?? letter.topic}</strong>
          <span class="params muted">{letter.detail}</span>
          <span class="muted when">
            <Moment iso={letter.at} />
          </span>
        </summary>
        {open && (
          <div class="life">
            <p class="muted small">
              {letter.device_id !== null && (
                <>
                  <Link to={deviceAt(letter.device_id)}>
                    {letter.device_id}
                  </Link>{" "}
                  ·{" "}
                </>
              )}
              topic <code>{letter.topic}</code> · log {letter.log.topic}/
              {letter.log.partition} at {letter.log.offset} ·{" "}
              {plural(letter.attempts, "attempt")}
              {letter.why_not !== undefined && (
                <> · not to be replayed: {letter.why_not}</>
              )}
            </p>
            <LetterBytes id={letter.id} />
          </div>
        )}
      </details>
    </li>
  );
}
