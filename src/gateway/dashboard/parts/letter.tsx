/** The bytes that a device sent, as they were kept. */
import type { Letter } from "../answers.js";
import { ask } from "../api.js";
import { useAsked } from "../asked.js";
import { bytesText } from "../format.js";
import { Failure, Loading } from "./basics.js";

export function LetterBytes({ id }: { readonly id: number }) {
  const {
    value: letter,
    failure,
    again,
  } = useAsked(
    `letter ${id}`,
    (signal) => ask<Letter>(`/dead-letters/letters/${id}`, { signal }),
    null,
  );
  if (failure !== null) return <Failure failure={failure} again={again} />;
  if (letter === null) return <Loading what="its bytes" />;
  const isText = letter.payload !== undefined;
  return (
    <>
      <p class="muted small">
        {bytesText(letter.payload_size)}
        {letter.truncated && ", of which the first were kept"}
        {!isText && ", not UTF-8, shown as base64"}
      </p>
      <pre tabIndex={0} aria-label="The device's bytes">
        {letter.payload ?? letter.payload_base64}
      </pre>
    </>
  );
}
