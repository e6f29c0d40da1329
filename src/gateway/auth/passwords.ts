/** Passwords: argon2id with the cost that OWASP's password storage cheat sheet names first (19 MiB, two passes, one lane). */
import { hash, verify } from "@node-rs/argon2";
import { TwinstreamError } from "../../errors.js";

/** `algorithm` is argon2id unless told otherwise; memory in KiB. */
const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
/** At a time: each takes 19 MiB, and one of the four threads that files and gzip share. */
const AT_ONCE = 2;
/** About a third of a second of waiting; more log-ins than that are refused. */
const MOST_WAITING = 64;

/** Of the user that a demo makes; refused in production. */
export const DEMO_PASSWORD = "admin123";

export interface Passwords {
  hash(password: string): Promise<string>;
  /** False, after the same time, where there is no hash: nobody learns by it whether a user exists. */
  matches(hash: string | null, password: string): Promise<boolean>;
}

/** @returns hashing of which a bounded part runs at once; throws TOO_SLOW when too many wait. */
export function createPasswords(): Passwords {
  const turns = takeTurns(AT_ONCE, MOST_WAITING);
  const nobodys = hash("nobody's password", COST);
  // Heard where it is awaited; a failure before that must not end the process.
  nobodys.catch(() => {});
  return {
    hash: (password) => turns(() => hash(password, COST)),
    matches: (known, password) =>
      turns(async () => {
        const right = await verify(known ?? (await nobodys), password);
        return known !== null && right;
      }),
  };
}

function takeTurns(atOnce: number, most: number) {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= atOnce) {
      if (waiting.length >= most)
        throw new TwinstreamError(
          "TOO_SLOW",
          "too many log-ins at a time; try again later",
        );
      // Whoever ends hands its turn on, so `running` stays as it is.
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
