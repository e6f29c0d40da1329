/** A port that can be cut off from what it stands for: every call that would reach it fails until it is mended. */

export interface Breakable<T> {
  readonly port: T;
  break(): void;
  mend(): void;
}

/** Calls that only ask or tell something that is local to the caller; they go through always. */
const LOCAL = new Set([
  "connected",
  "onReconnect",
  "seek",
  "pause",
  "resume",
  "health",
  "stop",
]);

export function breakable<T extends object>(
  port: T,
  error: () => Error,
): Breakable<T> {
  let broken = false;
  return {
    port: new Proxy(port, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function" || LOCAL.has(String(name)))
          return member;
        return (...args: unknown[]): unknown =>
          broken
            ? Promise.reject(error())
            : Reflect.apply(member, target, args);
      },
    }),
    break: () => {
      broken = true;
    },
    mend: () => {
      broken = false;
    },
  };
}
