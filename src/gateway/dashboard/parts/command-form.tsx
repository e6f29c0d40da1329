/** The form that gives a device a command. */
import type { ComponentChildren, TargetedInputEvent } from "preact";
import { useRef, useState } from "preact/hooks";
import { ask } from "../api.js";
import {
  bodyOf,
  COMPARISONS,
  type Comparison,
  type Draft,
  EMPTY,
  type Faults,
} from "../command-draft.js";
import { Failure } from "./basics.js";
import { Dialog, useDoing } from "./dialog.js";

const SIGNS: Readonly<Record<Comparison, string>> = {
  eq: "=",
  ne: "≠",
  lt: "<",
  le: "≤",
  gt: ">",
  ge: "≥",
};

export function CommandForm({
  device,
  online,
  onClose,
  onGiven,
}: {
  readonly device: string;
  readonly online: boolean;
  readonly onClose: () => void;
  readonly onGiven: (cmdId: string, op: string) => void;
}) {
  const [draft, setDraft] = useState<Draft>({ ...EMPTY, queue: !online });
  const [faults, setFaults] = useState<Faults>({});
  const { busy, failure, doing } = useDoing();
  // One key a form: a request that was sent and not answered may be sent again, and is the same command.
  const key = useRef(crypto.getRandomValues(new Uint32Array(4)).join("-"));
  const typed =
    (name: "op" | "params" | "ttl" | "supersedes" | "point" | "value") =>
    ({
      currentTarget,
    }: TargetedInputEvent<HTMLInputElement | HTMLTextAreaElement>): void => {
      setDraft((was) => ({ ...was, [name]: currentTarget.value }));
      // It is being corrected; whether it is right is said when it is sent.
      setFaults((was) => ({ ...was, [name]: undefined }));
    };

  function send(): void {
    const read = bodyOf(draft);
    setFaults("faults" in read ? read.faults : {});
    if ("faults" in read) return;
    doing(async () => {
      const { cmd_id: cmdId } = await ask<{ cmd_id: string }>(
        `/devices/${encodeURIComponent(device)}/command`,
        {
          method: "POST",
          body: read.body,
          headers: {
            "idempotency-key": `${key.current}-${hashOf(JSON.stringify(read.body))}`,
          },
        },
      );
      onGiven(cmdId, draft.op.trim());
      onClose();
    });
  }

  return (
    <Dialog title={`Command for ${device}`} onClose={onClose}>
      <form
        class="stack"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        {!online && (
          <p class="notice warn">
            The device is offline. The command waits for it, for as long as it
            may.
          </p>
        )}
        <Field name="op" text="Operation" fault={faults.op}>
          <input
            id="op"
            autoFocus
            maxLength={128}
            spellcheck={false}
            autoCapitalize="none"
            placeholder="reset_fault"
            value={draft.op}
            onInput={typed("op")}
            {...marks("op", faults.op)}
          />
        </Field>
        <Field name="params" text="Parameters (JSON)" fault={faults.params}>
          <textarea
            id="params"
            rows={3}
            spellcheck={false}
            placeholder='{"rpm": 900}'
            value={draft.params}
            onInput={typed("params")}
            {...marks("params", faults.params)}
          />
        </Field>
        <div class="fields">
          <Field name="ttl" text="Expires after, seconds" fault={faults.ttl}>
            <input
              id="ttl"
              inputMode="numeric"
              value={draft.ttl}
              onInput={typed("ttl")}
              {...marks("ttl", faults.ttl)}
            />
          </Field>
          <Field name="slot" text="Slot (supersedes older of it)">
            <input
              id="slot"
              maxLength={128}
              value={draft.supersedes}
              onInput={typed("supersedes")}
            />
          </Field>
        </div>
        <label class="check">
          <input
            type="checkbox"
            checked={draft.queue}
            onChange={({ currentTarget }) =>
              setDraft((was) => ({ ...was, queue: currentTarget.checked }))
            }
          />
          Let it wait while the device is offline
        </label>
        <fieldset>
          <legend>Only if</legend>
          <div class="fields condition">
            <input
              aria-label="Point of the condition"
              placeholder="point, such as status"
              value={draft.point}
              onInput={typed("point")}
            />
            <select
              aria-label="Comparison"
              value={draft.comparison}
              onChange={({ currentTarget }) =>
                setDraft((was) => ({
                  ...was,
                  comparison: currentTarget.value as Comparison,
                }))
              }
            >
              {COMPARISONS.map((one) => (
                <option key={one} value={one}>
                  {SIGNS[one]}
                </option>
              ))}
            </select>
            <input
              aria-label="Value of the condition"
              placeholder="value, such as RUN"
              value={draft.value}
              onInput={typed("value")}
              {...marks("value", faults.value)}
            />
          </div>
          {faults.value !== undefined && (
            <p class="fault" id="value-fault">
              {faults.value}
            </p>
          )}
        </fieldset>
        {failure !== null && <Failure failure={failure} />}
        <div class="row end">
          <button type="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" class="primary" disabled={busy}>
            {busy ? "Sending…" : "Send"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Field({
  name,
  text,
  fault,
  children,
}: {
  readonly name: string;
  readonly text: string;
  readonly fault?: string | undefined;
  readonly children: ComponentChildren;
}) {
  return (
    <div class="field">
      <label for={name}>{text}</label>
      {children}
      {fault !== undefined && (
        <p class="fault" id={`${name}-fault`}>
          {fault}
        </p>
      )}
    </div>
  );
}

const marks = (name: string, fault: string | undefined) =>
  fault === undefined
    ? {}
    : {
        "aria-invalid": "true" as const,
        "aria-describedby": `${name}-fault`,
      };

/** Tells bodies apart; nobody is to be kept from making two that are alike. */
function hashOf(text: string): string {
  let hash = 0;
  for (let i = 0; i < text.length; i++)
    hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return (hash >>> 0).toString(36);
}
