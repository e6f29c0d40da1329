/** Files of readings: dropped here, followed on their way, and what came of them. */
import { useState } from "preact/hooks";
import type { Claim } from "../answers.js";
import { ask } from "../api.js";
import { useAsked } from "../asked.js";
import { bytesText, countText, plural } from "../format.js";
import { mayOperate } from "../session.js";
import {
  Answered,
  Badge,
  Card,
  Empty,
  Heading,
  Link,
  Moment,
  More,
  type Tone,
} from "../parts/basics.js";
import { DropZone } from "../parts/drop-zone.js";

const EVERY_MS = 4000;
const STEP = 25;
/** What the route gives at most. */
const MOST = 500;

const CLAIM_TONES: Readonly<Record<Claim["state"], Tone>> = {
  stored: "info",
  processing: "info",
  done: "good",
  rejected: "bad",
};

export function Uploads({ claim }: { readonly claim: string | null }) {
  const [limit, setLimit] = useState(STEP);
  const asked = useAsked(
    `claims ${limit}`,
    (signal) =>
      ask<{ claims: Claim[]; next: string | null }>(
        `/telemetry/claims?limit=${limit}`,
        { signal },
      ),
    EVERY_MS,
  );
  if (claim !== null) return <OneClaim id={claim} />;
  return (
    <>
      <div class="page-head">
        <Heading>Uploads</Heading>
      </div>
      {mayOperate() && <DropZone onTaken={asked.again} />}
      <Card title="Claims" flush>
        <Answered asked={asked} what="the uploads">
          {({ claims, next }) => (
            <>
              {claims.length === 0 && (
                <Empty title="Nothing was uploaded yet">
                  {mayOperate()
                    ? "Drop a file above; it is stored beside what devices send."
                    : "Operators can upload files of readings."}
                </Empty>
              )}
              <ul class="claims">
                {claims.map((one) => (
                  <ClaimRow key={one.claim_id} claim={one} />
                ))}
              </ul>
              <More
                when={next !== null && limit < MOST}
                show={() => setLimit(Math.min(MOST, limit * 2))}
              />
            </>
          )}
        </Answered>
      </Card>
    </>
  );
}

function ClaimRow({ claim }: { readonly claim: Claim }) {
  const failed = claim.readings.failed + claim.equipments.failed;
  return (
    <li>
      <Link class="claim-link" to={{ name: "uploads", claim: claim.claim_id }}>
        <Badge tone={CLAIM_TONES[claim.state]}>{claim.state}</Badge>
        <span class="claim-what">
          <strong>{plural(claim.readings.stored, "reading")}</strong> stored
          {claim.readings.duplicate > 0 && (
            <span class="muted">
              , {countText(claim.readings.duplicate)} there before
            </span>
          )}
          {failed > 0 && (
            <span class="bad-text">, {countText(failed)} failed</span>
          )}
        </span>
        <span class="muted claim-when">
          {claim.file_size !== undefined && bytesText(claim.file_size)} · by{" "}
          {claim.by} · <Moment iso={claim.received_at} />
        </span>
      </Link>
    </li>
  );
}

function OneClaim({ id }: { readonly id: string }) {
  const [ended, setEnded] = useState(false);
  const asked = useAsked(
    `claim ${id}`,
    async (signal) => {
      const claim = await ask<Claim>(
        `/telemetry/claims/${encodeURIComponent(id)}`,
        { signal },
      );
      setEnded(claim.finished_at !== null);
      return claim;
    },
    ended ? null : 1500,
  );
  return (
    <>
      <nav class="crumbs" aria-label="Path">
        <Link to={{ name: "uploads", claim: null }}>← Uploads</Link>
      </nav>
      <div class="page-head">
        <Heading>
          Claim <span class="device-name">{id}</span>
        </Heading>
        {asked.value !== null && (
          <Badge tone={CLAIM_TONES[asked.value.state]}>
            {asked.value.state}
          </Badge>
        )}
      </div>
      <Answered asked={asked} what="the claim">
        {(claim) => (
          <>
            <section class="tiles three" aria-label="What it came to">
              <Count text="Readings stored" value={claim.readings.stored} />
              <Count text="There before" value={claim.readings.duplicate} />
              <Count text="Failed" value={claim.readings.failed} />
            </section>
            <Card title="Its life">
              <ol class="steps">
                <li class="good">
                  <strong>received</strong>
                  <Moment iso={claim.received_at} />
                </li>
                {claim.finished_at === null ? (
                  <li class="info">
                    <strong>{claim.state}</strong>
                    <span class="muted">
                      {countText(claim.equipments.stored)} of{" "}
                      {countText(claim.equipments.total)} equipments so far
                    </span>
                  </li>
                ) : (
                  <li class={CLAIM_TONES[claim.state]}>
                    <strong>{claim.state}</strong>
                    <Moment iso={claim.finished_at} />
                    <span class="muted">
                      {plural(claim.equipments.stored, "equipment")} stored,{" "}
                      {countText(claim.equipments.failed)} failed
                    </span>
                  </li>
                )}
              </ol>
            </Card>
            <Card title="Errors" flush>
              {claim.errors.length === 0 ? (
                <Empty title="There is none" />
              ) : (
                <ul class="errors">
                  {claim.errors.map(({ path, reason }) => (
                    <li key={`${path} ${reason}`}>
                      <code>{path}</code>
                      <span>{reason}</span>
                    </li>
                  ))}
                </ul>
              )}
            </Card>
          </>
        )}
      </Answered>
    </>
  );
}

function Count({
  text,
  value,
}: {
  readonly text: string;
  readonly value: number;
}) {
  return (
    <div class="tile quiet">
      <span class="tile-text">{text}</span>
      <span class="tile-value">{countText(value)}</span>
    </div>
  );
}
