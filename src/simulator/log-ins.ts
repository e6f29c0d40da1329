/** What the devices of a fleet log in with, kept in a file of theirs as a real device keeps it in its own memory. */
import { readFile, rename, writeFile } from "node:fs/promises";

export interface DeviceLogIn {
  readonly deviceId: string;
  readonly username: string;
  readonly password: string;
  readonly clientId: string;
}

/** By device id; empty when there is no file yet. */
export async function readLogIns(
  file: string,
): Promise<Map<string, DeviceLogIn>> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
    throw error;
  }
  const lines = text.split("\n").filter((line) => line !== "");
  return new Map(
    lines.map((line) => {
      const one = JSON.parse(line) as DeviceLogIn;
      return [one.deviceId, one];
    }),
  );
}

/** For its owner alone to read, and whole or not at all. */
export async function writeLogIns(
  file: string,
  logIns: ReadonlyMap<string, DeviceLogIn>,
): Promise<void> {
  const lines = [...logIns.values()].map((one) => `${JSON.stringify(one)}\n`);
  await writeFile(`${file}.new`, lines.join(""), { mode: 0o600 });
  await rename(`${file}.new`, file);
}
