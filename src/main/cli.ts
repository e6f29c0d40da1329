#!/usr/bin/env node
/** `twinstream`: settings from the environment and a .env file, then the command. */
import { reasonOf, TwinstreamError } from "../errors.js";
import { createProgram } from "./program.js";

try {
  process.loadEnvFile();
} catch (error) {
  // No .env file is the ordinary case.
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
try {
  await createProgram().parseAsync();
} catch (error) {
  console.error(`twinstream: ${reasonOf(error)}`);
  const settings =
    error instanceof TwinstreamError && error.code === "CONFIG_INVALID";
  process.exit(settings ? 2 : 1);
}
