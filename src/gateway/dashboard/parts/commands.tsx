/** What a device was told, each command with its whole life, and a form for the next. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Command, CommandState } from "../answers.js";
import { ask } from "../api.js";
import { useAsked } from "../asked.js";
import { mayOperate } from "../session.js";
import {
  Answered,
  Badge,
  Card,
  Empty,
  Moment,
  More,
  type Tone,
} from "./basics.js";
import { CommandForm } from "./command-form.js";
import { Confirm } from "./dialog.js";
import { say } from "./toasts.js";

const EVERY_MS = 10_000;
/** While one is on its way, which takes moments. */
const SOON_MS = 700;
/** Seconds that a cancellation is waited for, which takes moments too. */
const CANCEL_S = 5;
const STEP = 20;
/** What the route gives at most. */
const MOST = 1000;

const OPEN: ReadonlySet<CommandState> = new Set([
  "accepted",
  "queued",
  "sent",
  "delivered",
]);
const TONES: Readonly<Partial<Record<CommandState, Tone>>> = {
  acked: "good",
  failed: "bad",
  expired: "warn",
  rejected: "warn",
};

const toneOf = (state: CommandState): Tone =>
  TONES[state] ?? (OPEN.has(state) ? "info" : "quiet");

export function Commands({
  device,
  online,
}: {
  readonly device: string;
  readonly online: boolean;
}) {
  const [limit, setLimit] = useState(STEP);
  const [hurry, setHurry] = useState(false);
  const [given, setGiven] = useState<string | null>(null);
  const [form, setForm] = useState(false);
  const base = `/devices/${encodeURIComponent(device)}/commands`;
  const asked = useAsked(
    `commands ${device} ${limit}`,
    (signal) =>
      ask<{ commands: Command[]; next: string | null }>(
        `${base}?limit=${limit}`,
        { signal },
      ),
    hurry ? SOON_MS : EVERY_MS,
  );
  const found = asked.value;
  const waits = given !== null && !found?.commands.some(isGiven);
  function isGiven(command: Command): boolean {
    return command.cmd_id === given;
  }
  useEffect(() => {
    const newest = found?.commands.slice(0, 5) ?? [];
    // One that waits in a queue may wait for days; it is the moments after it was given that are watched.
    setHurry(
      waits || newest.some((one) => OPEN.has(one.state) && isRecent(one)),
    );
  }, [found, waits]);

  return (
    <Card
      title="Commands"
      flush
      aside={
        mayOperate() && (
          <button
            type="button"
            class="primary small"
            onClick={() => setForm(true)}
          >
            Send a command
          </button>
        )
      }
    >
      <Answered asked={asked} what="its commands">
        {({ commands, next }) => (
          <>
            {commands.length === 0 && !waits && (
              <Empty title="It was given no command yet">
                {mayOperate()
                  ? "Send one, and follow here what becomes of it."
                  : "Operators can send some."}
              </Empty>
            )}
            <ul class="commands">
              {commands.map((command) => (
                <Life
                  key={command.cmd_id}
                  command={command}
                  open={isGiven(command)}
                  canceled={asked.again}
                />
              ))}
            </ul>
            <More
              when={next !== null && limit < MOST}
              show={() => setLimit(Math.min(MOST, limit * 3))}
            />
          </>
        )}
      </Answered>
      {form && (
        <CommandForm
          device={device}
          online={online}
          onClose={() => setForm(false)}
          onGiven={(cmdId, op) => {
            say(`${op} was given to ${device}`);
            setGiven(cmdId);
            setHurry(true);
            asked.again();
          }}
        />
      )}
    </Card>
  );
}

const RECENT_MS = 60_000;
const isRecent = (command: Command): boolean =>
  Date.now() - Date.parse(command.created_at) < RECENT_MS;

function Life({
  command,
  open,
  canceled,
}: {
  readonly command: Command;
  readonly open: boolean;
  readonly canceled: () => void;
}) {
  const [asks, setAsks] = useState(false);
  const summary = useRef<HTMLElement>(null);
  return (
    <li>
      <details {...(open && { open })}>
        <summary ref={summary}>
          <Badge tone={toneOf(command.state)}>{command.state}</Badge>
          <strong class="op">{command.op}</strong>
          <code class="params">{paramsText(command.params)}</code>
          <span class="muted when">
            <Moment iso={command.created_at} />
          </span>
        </summary>
        <div class="life">
          {command.err !== null && (
            <p class="notice bad">The device says: {command.err}</p>
          )}
          <ol class="steps">
            {command.history.map((step) => (
              <li key={`${step.state} ${step.at}`} class={toneOf(step.state)}>
                <strong>{step.state}</strong>
                <Moment iso={step.at} />
                <span class="muted">{evidenceText(step.evidence)}</span>
              </li>
            ))}
          </ol>
          <p class="muted small">
            {command.by !== undefined && <>by {command.by} · </>}
            expires <Moment iso={command.expires_at} />
            {command.supersedes != null && <> · slot {command.supersedes}</>}
            {command.precondition != null && (
              <>
                {" "}
                · only if {command.precondition.point} {command.precondition.op}{" "}
                {JSON.stringify(command.precondition.value)}
              </>
            )}{" "}
            · <code>{command.cmd_id}</code>
          </p>
          {mayOperate() && OPEN.has(command.state) && (
            <button type="button" class="small" onClick={() => setAsks(true)}>
              Cancel it
            </button>
          )}
        </div>
      </details>
      {asks && (
        <Confirm
          title={`Cancel ${command.op}?`}
          act="Cancel the command"
          danger
          then={summary}
          onClose={() => setAsks(false)}
          run={async () => {
            const { state } = await ask<Pick<Command, "state">>(
              `/devices/${encodeURIComponent(command.device_id)}/commands/${command.cmd_id}?wait=${CANCEL_S}`,
              { method: "DELETE" },
            );
            say(
              OPEN.has(state)
                ? `${command.op} is to be canceled`
                : `${command.op} is ${state}`,
            );
            canceled();
          }}
        >
          <p>
            If the device has it already, it may still execute it; an ack that
            comes later is kept as late.
          </p>
        </Confirm>
      )}
    </li>
  );
}

const paramsText = (params: unknown): string =>
  params === null || params === undefined ? "" : JSON.stringify(params);

const evidenceText = (evidence: unknown): string =>
  evidence === null || evidence === undefined
    ? ""
    : typeof evidence === "string"
      ? evidence
      : JSON.stringify(evidence);
