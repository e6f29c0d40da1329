/** Arguments that several commands take. */
import { InvalidArgumentError } from "commander";
import { isSegment } from "../domain/names.js";
import { reasonOf } from "../errors.js";

/** A reader that throws, as commander wants to hear of what is wrong. */
export function word<T>(readWord: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return readWord(text);
    } catch (error) {
      throw new InvalidArgumentError(reasonOf(error));
    }
  };
}

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
