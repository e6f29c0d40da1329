/** A request's body on its way: what its breaking off means, and how the rest of it is let go. */
import type { Readable, Writable } from "node:stream";
import { refusal } from "../problems.js";

/** How much of a refused body is still read, and for how long, so that the client gets to see the answer. */
const LET_GO = { bytes: 8 * 1024 * 1024, ms: 2000 };

/**
 * Pipes the body and leaves it intact when `into` fails: an answer must still go out on its socket. A body that breaks off,
 * or takes longer than `totalMs`, destroys `into` with a refusal (BAD_REQUEST, BODY_TOO_SLOW). One that merely trickles is
 * cut off for every route, by slow-bodies.ts.
 */
export function pour(body: Readable, into: Writable, totalMs: number): void {
  const brokeOff = (): void => {
    if (!body.readableEnded)
      into.destroy(refusal("BAD_REQUEST", "the client broke off its upload"));
  };
  const timer = setTimeout(() => {
    into.destroy(
      refusal(
        "BODY_TOO_SLOW",
        `the upload took longer than ${totalMs / 1000} s; send it in parts`,
      ),
    );
  }, totalMs);
  body.on("error", brokeOff);
  body.on("close", brokeOff);
  into.once("close", () => {
    clearTimeout(timer);
    body.off("error", brokeOff);
    body.off("close", brokeOff);
  });
  if (body.destroyed) brokeOff();
  else body.pipe(into);
}

/** Reads what is left of a refused body and throws it away, within bounds: closing at once would cut off the answer. */
export async function letGo(body: Readable): Promise<void> {
  if (body.readableEnded || body.destroyed) return;
  body.unpipe();
  await new Promise<void>((resolve) => {
    let bytes = 0;
    const count = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes >= LET_GO.bytes) done();
    };
    const done = (): void => {
      clearTimeout(timer);
      body.off("data", count);
      for (const event of ["end", "close", "error"]) body.off(event, done);
      resolve();
    };
    const timer = setTimeout(done, LET_GO.ms);
    body.on("data", count);
    for (const event of ["end", "close", "error"]) body.on(event, done);
    body.resume();
  });
}
