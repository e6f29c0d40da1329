/** A deadline for work that cannot be called off: it goes on, but nobody waits for it. */
import { type ErrorCode, TwinstreamError } from "../errors.js";

/** The work's outcome, or an error of `code` after `ms` milliseconds. */
export async function inTime<T>(
  work: Promise<T>,
  ms: number,
  code: ErrorCode,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new TwinstreamError(code, `no answer within ${ms} ms`)),
      ms,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
