/** Where one reading came from, or why there is none. */
import type { ComponentChildren } from "preact";
import type { Explanation } from "../answers.js";
import { ask } from "../api.js";
import { useAsked } from "../asked.js";
import { countText, valueText } from "../format.js";
import { Badge, Failure, Loading, Moment, type Tone } from "./basics.js";
import { Dialog } from "./dialog.js";

export interface Question {
  readonly point: string;
  /** The reading's time, exactly. */
  readonly at: string;
}

const TONES: Readonly<Record<string, Tone>> = {
  stored: "good",
  uploaded: "good",
  in_flight: "info",
  no_record: "info",
};

export function Explain({
  device,
  question,
  onClose,
}: {
  readonly device: string;
  readonly question: Question;
  readonly onClose: () => void;
}) {
  const { point, at } = question;
  const {
    value: found,
    failure,
    again,
  } = useAsked(
    `${device} ${point} ${at}`,
    (signal) =>
      ask<Explanation>(
        `/devices/${encodeURIComponent(device)}/explain?point=${encodeURIComponent(point)}&at=${encodeURIComponent(at)}`,
        { signal },
      ),
    null,
  );
  return (
    <Dialog title={`Where ${point} came from`} onClose={onClose}>
      {failure !== null && <Failure failure={failure} again={again} />}
      {found === null && failure === null && (
        <Loading what="its record from the log" />
      )}
      {found !== null && (
        <div class="stack">
          <p>
            <Badge tone={TONES[found.outcome] ?? "warn"}>
              {found.outcome.replaceAll("_", " ")}
            </Badge>{" "}
            {found.why}
          </p>
          <dl class="pairs">
            <Pair name="Reading">
              {valueText(found.value)} at <Moment iso={found.at} />
            </Pair>
            {found.stored_at !== null && (
              <Pair name="Row committed">
                <Moment iso={found.stored_at} />
              </Pair>
            )}
            {found.letter !== null && (
              <Pair name="Dead letter">
                {found.letter.id}, {found.letter.reason}
              </Pair>
            )}
            {found.claim_id !== null && (
              <Pair name="Upload">{found.claim_id}</Pair>
            )}
            <Pair name="Looked through">
              {countText(found.searched.records)} records of the device in{" "}
              {found.searched.topic}/{found.searched.partition}, offsets{" "}
              {found.searched.from} to {found.searched.to}
            </Pair>
          </dl>
          {found.record !== null && (
            <>
              <h3>The record</h3>
              <pre tabIndex={0}>{JSON.stringify(found.record, null, 2)}</pre>
            </>
          )}
        </div>
      )}
    </Dialog>
  );
}

function Pair({
  name,
  children,
}: {
  readonly name: string;
  readonly children: ComponentChildren;
}) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}
