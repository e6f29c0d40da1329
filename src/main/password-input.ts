/** Passwords as people and scripts give them to a command: never as arguments. */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";

/** The first line of standard input. */
export async function firstLine(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8").split(/\r?\n/, 1)[0] ?? "";
}

/** From the terminal, twice, without showing it. */
export async function askTwice(): Promise<string> {
  const first = await askOnce("Password: ");
  if ((await askOnce("Again: ")) === first) return first;
  throw new Error("the two are not the same");
}

async function askOnce(prompt: string): Promise<string> {
  process.stderr.write(prompt);
  // readline echoes into this, which swallows it.
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({
    input: process.stdin,
    output,
    terminal: true,
  });
  try {
    return await lines.question("");
  } finally {
    lines.close();
    process.stderr.write("\n");
  }
}
