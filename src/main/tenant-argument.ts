/** A tenant's name as an argument of the command line. */
import { InvalidArgumentError } from "commander";
import { isSegment } from "../domain/names.js";

/** @throws InvalidArgumentError for what no topic's segment may be */
export function tenantArgument(text: string): string {
  if (!isSegment(text))
    throw new InvalidArgumentError("must be 1 to 128 of [A-Za-z0-9._:-]");
  return text;
}
