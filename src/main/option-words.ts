/** Words of the command line, read. */
import { InvalidArgumentError } from "commander";
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
