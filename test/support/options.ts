/** Options of the suite's scripts: `--help` is answered, and what is not understood is told in a line, not by a stack. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { reasonOf } from "../../src/errors.js";

type Options = NonNullable<ParseArgsConfig["options"]>;

export function optionsOf<const T extends Options>(help: string, options: T) {
  if (process.argv.includes("--help")) {
    console.log(help);
    process.exit(0);
  }
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    refuse(reasonOf(error));
  }
}

/** A whole number, or undefined where none is given. */
export function wholeOf(
  name: string,
  text: string | undefined,
): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) refuse(`--${name} must be a whole number`);
  return Number(text);
}

function refuse(why: string): never {
  console.error(`${why}; see --help`);
  process.exit(2);
}
