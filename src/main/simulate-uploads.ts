/** What `twinstream simulate` is told of uploads, and where they go. */
import { Option } from "commander";
import type { Config } from "../config.js";
import { read, type SimulateOptions } from "../simulator/options.js";
import type { Surroundings } from "../simulator/simulate.js";

/** Of the environment: an option would be in process lists. */
const PASSWORD = "UPLOAD_PASSWORD";

/** @param word makes a reader's complaint one of the command line's */
export const uploadOptions = (
  word: <T>(reader: (text: string) => T) => (text: string) => T,
): Option[] => [
  new Option(
    "--upload-every <time>",
    "upload a bulk file too, of what 10 devices at most have logged",
  ).argParser(word(read.duration)),
  new Option(
    "--upload-url <url>",
    "the gateway (default: HTTP_HOST and HTTP_PORT)",
  ).argParser(word(read.url)),
  new Option(
    "--upload-user <name>",
    `log in as; the password is ${PASSWORD} of the environment`,
  ),
];

/** Why a user cannot log in, in one line; null when there is none, or it can. */
export function missingPassword(options: SimulateOptions): string | null {
  if (options.uploadUser === undefined || process.env[PASSWORD]) return null;
  return `--upload-user needs the password in the environment, as ${PASSWORD}`;
}

export function gatewayOf(
  { uploadUrl, uploadUser: username }: SimulateOptions,
  config: Config,
): Surroundings["gateway"] {
  const scheme = config.TLS_CERT === undefined ? "http" : "https";
  const host = config.HTTP_HOST === "0.0.0.0" ? "127.0.0.1" : config.HTTP_HOST;
  return {
    url: uploadUrl ?? `${scheme}://${host}:${config.HTTP_PORT}`,
    account:
      username === undefined
        ? null
        : { username, password: process.env[PASSWORD] ?? "" },
  };
}
