/**
 * The terminal's other screen, without its cursor, and back again whatever happens: at the end, on `q` and ctrl-C, on a
 * signal, and when something throws. Only kill -9 leaves it (then: `reset`).
 */
import { writeSync } from "node:fs";

const ENTER = "\u001B[?1049h\u001B[?25l";
const LEAVE = "\u001B[?25h\u001B[?1049l";
const HOME = "\u001B[H";
const REST_OF_LINE = "\u001B[K";
const REST_OF_SCREEN = "\u001B[J";
const CTRL_C = "\u0003";

export interface Screen {
  size(): { columns: number; rows: number };
  show(lines: readonly string[]): void;
  /** Aborted when the person wants to leave. */
  readonly left: AbortSignal;
  restore(): void;
}

export function openScreen(): Screen {
  const { stdout, stdin } = process;
  const leaving = new AbortController();
  const leave = (): void => leaving.abort();
  let there = true;
  const restore = (): void => {
    if (!there) return;
    there = false;
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
    // Now, not when the event loop comes to it: it may not come again.
    writeSync(stdout.fd, LEAVE);
  };
  process.once("exit", restore);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, leave);
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.on("data", (keys: Buffer) => {
    if (/[qQ]/.test(keys.toString()) || keys.includes(CTRL_C)) leave();
  });
  stdout.write(ENTER);
  return {
    // A serial line says 0 by 0.
    size: () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 }),
    show(lines) {
      stdout.write(
        HOME +
          lines.map((line) => line + REST_OF_LINE).join("\r\n") +
          REST_OF_SCREEN,
      );
    },
    left: leaving.signal,
    restore,
  };
}
