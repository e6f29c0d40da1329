/** Arguments that several commands take. */
import { InvalidArgumentError } from "commander";
import { isSegment } from "../domain/names.js";

/** A tenant's or a device's name. */
export function segment(text: string): string {
  if (!isSegment(text))
    throw new InvalidArgumentError("must be 1 to 128 of [A-Za-z0-9._:-]");
  return text;
}

export function count(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text))
    throw new InvalidArgumentError("must be a whole number from 1 on");
  return Number(text);
}
