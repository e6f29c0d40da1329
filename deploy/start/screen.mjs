// Lines for people: what happens scrolls, how it stands is rewritten in place.

/** How often the progress is printed where it cannot be rewritten. */
const PLAIN_EVERY_MS = 10_000;

/** @param {NodeJS.WriteStream} out */
export function openScreen(out) {
  const began = Date.now();
  let status = "";
  let printed = 0;
  out.on("error", () => {}); // the terminal may be closed before the end

  /** @param {string} text one line or more */
  const say = (text) => {
    const clock = ((Date.now() - began) / 1000).toFixed(1).padStart(6);
    const clear = status && out.isTTY ? "\r\u001b[K" : "";
    out.write(`${clear}${clock}  ${text.replaceAll("\n", "\n        ")}\n`);
    if (out.isTTY) out.write(status);
  };

  /** @param {string} line */
  const progress = (line) => {
    if (out.isTTY) {
      status = line.slice(0, (out.columns || 80) - 1);
      out.write(`\r\u001b[K${status}`);
    } else if (Date.now() - printed >= PLAIN_EVERY_MS) {
      printed = Date.now();
      out.write(`${line}\n`);
    }
  };

  /** The last progress stays; what follows is below it. */
  const endProgress = () => {
    if (status && out.isTTY) out.write("\n");
    status = "";
  };

  return { say, progress, endProgress };
}
