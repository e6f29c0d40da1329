/** `twinstream users`: who may log in. Passwords are never arguments: those stay in shell histories and process lists. */
import { randomBytes } from "node:crypto";
import { Command, InvalidArgumentError, Option } from "commander";
import type {
  AccountsAdmin,
  ListedUser,
} from "../adapters/timescale/accounts-admin.js";
import type { Config } from "../config.js";
import type { UserRole } from "../ports.js";
import type { TellAct } from "./operator-acts.js";
import { askTwice, firstLine } from "./password-input.js";
import { segment } from "./arguments.js";
import { table } from "./table.js";

interface PasswordOptions {
  readonly passwordStdin?: true;
  readonly generate?: true;
  readonly json?: true;
}

const LEAST_PASSWORD = 8;
const MOST_PASSWORD = 1024;
/** 144 bits, as 24 characters. */
const GENERATED_BYTES = 18;

export function usersCommand(): Command {
  const command = new Command("users")
    .description("show and change who may log in at the gateway")
    .addHelpText(
      "after",
      `
The password is asked for at a terminal, read from standard input (--password-stdin), or made and shown once (--generate).
Roles: a viewer reads, an operator also gives commands and uploads, an admin does everything; each within their tenant.
A new password and a disabled user end all sessions; access tokens that are out stay good for up to 15 minutes.

  twinstream users add ana --role operator --tenant acme
  twinstream users passwd ana --generate
  twinstream users disable ana
  twinstream users list --json`,
    );
  const json = new Option("--json", "print JSON");
  const stdin = new Option(
    "--password-stdin",
    "read the password from standard input",
  );
  const generate = new Option(
    "--generate",
    "make a password and show it once",
  ).conflicts("passwordStdin");

  command
    .command("list", { isDefault: true })
    .description("every user with tenant, role and state")
    .addOption(json)
    .action((options: { json?: true }) =>
      withAdmin(async ({ admin }) => {
        const users = await admin.list();
        console.log(options.json ? JSON.stringify(users) : usersTable(users));
      }),
    );
  command
    .command("add")
    .description("add a user")
    .argument("<username>", "1 to 64 characters of [A-Za-z0-9._@-]", username)
    .addOption(
      new Option("--role <role>", "what they may do")
        .choices(["admin", "operator", "viewer"])
        .default("viewer"),
    )
    .option("--tenant <tenant>", "whose devices they see", segment, "default")
    .option("--if-none", "only if there is no user yet; else do nothing")
    .addOption(stdin)
    .addOption(generate)
    .addOption(json)
    .action(
      (
        name: string,
        options: PasswordOptions & {
          role: UserRole;
          tenant: string;
          ifNone?: true;
        },
      ) =>
        withAdmin(async ({ admin, config, audit }) => {
          const password = await passwordOf(options, config);
          const user = {
            username: name,
            tenant: options.tenant,
            role: options.role,
          };
          const added = await admin.add(
            user,
            await hashOf(password.text),
            options.ifNone,
          );
          if (added || !options.ifNone)
            audit("users add", name, options.tenant, added);
          if (!added && !options.ifNone)
            throw new Error(
              `there is a user ${name} already; change the password with: twinstream users passwd ${name}`,
            );
          say(options, { ...user, added }, password, [
            added
              ? `added ${name} (${options.role} of ${options.tenant})`
              : "there are users already; nothing was added",
          ]);
        }),
    );
  command
    .command("passwd")
    .description("give a user a new password, and end their sessions")
    .argument("<username>", "whose", username)
    .addOption(stdin)
    .addOption(generate)
    .addOption(json)
    .action((name: string, options: PasswordOptions) =>
      withAdmin(async ({ admin, config, audit }) => {
        const password = await passwordOf(options, config);
        const done = await admin.setPassword(name, await hashOf(password.text));
        audit("users passwd", name, null, done);
        mustBe(done, name);
        say(options, { username: name }, password, [
          `${name} has a new password; their sessions are ended`,
        ]);
      }),
    );
  command
    .command("disable")
    .description("keep a user from logging in, and end their sessions")
    .argument("<username>", "whom", username)
    .option("--undo", "let them log in again")
    .addOption(json)
    .action((name: string, options: { undo?: true; json?: true }) =>
      withAdmin(async ({ admin, audit }) => {
        const disabled = options.undo !== true;
        const done = await admin.setDisabled(name, disabled);
        audit(disabled ? "users disable" : "users enable", name, null, done);
        mustBe(done, name);
        say(options, { username: name, disabled }, null, [
          disabled
            ? `${name} is disabled; tokens that are out end within 15 minutes`
            : `${name} may log in again`,
        ]);
      }),
    );
  return command;
}

interface Tools {
  readonly admin: AccountsAdmin;
  readonly config: Config;
  readonly audit: TellAct;
}

async function withAdmin(work: (tools: Tools) => Promise<void>): Promise<void> {
  const [{ loadConfig }, { createAccountsAdmin }, { createActLog }] =
    await Promise.all([
      import("../config.js"),
      import("../adapters/timescale/accounts-admin.js"),
      import("./operator-acts.js"),
    ]);
  const config = loadConfig(process.env);
  const admin = createAccountsAdmin(config.DATABASE_URL);
  try {
    await work({ admin, config, audit: createActLog(config) });
  } finally {
    await admin.close();
  }
}

interface Password {
  readonly text: string;
  readonly generated: boolean;
}

async function passwordOf(
  options: PasswordOptions,
  config: Config,
): Promise<Password> {
  if (options.generate)
    return {
      text: randomBytes(GENERATED_BYTES).toString("base64url"),
      generated: true,
    };
  const text =
    options.passwordStdin || !process.stdin.isTTY
      ? await firstLine()
      : await askTwice();
  const { DEMO_PASSWORD } = await import("../gateway/auth/passwords.js");
  if (text.length < LEAST_PASSWORD || text.length > MOST_PASSWORD)
    throw new Error(
      `a password has ${LEAST_PASSWORD} to ${MOST_PASSWORD} characters; this one has ${text.length}`,
    );
  if (config.NODE_ENV === "production" && text === DEMO_PASSWORD)
    throw new Error(
      "this is the demo's password, which NODE_ENV=production refuses",
    );
  return { text, generated: false };
}

async function hashOf(password: string): Promise<string> {
  const { createPasswords } = await import("../gateway/auth/passwords.js");
  return createPasswords().hash(password);
}

function mustBe(done: boolean, name: string): void {
  if (!done) throw new Error(`there is no user ${name}`);
}

function say(
  options: { json?: true },
  facts: object,
  password: Password | null,
  lines: readonly string[],
): void {
  const made = password?.generated === true ? { password: password.text } : {};
  if (options.json) return console.log(JSON.stringify({ ...facts, ...made }));
  for (const line of lines) console.log(line);
  if (password?.generated)
    console.log(`password, shown this once: ${password.text}`);
}

function usersTable(users: readonly ListedUser[]): string {
  if (users.length === 0)
    return "no users yet; add one with: twinstream users add";
  return table(
    users.map(({ username: name, role, tenant, disabled, lockedUntil }) => [
      name,
      role,
      tenant,
      disabled
        ? "disabled"
        : lockedUntil === null
          ? "active"
          : `locked out until ${lockedUntil}`,
    ]),
  );
}

function username(text: string): string {
  if (!/^[A-Za-z0-9._@-]{1,64}$/.test(text))
    throw new InvalidArgumentError("must be 1 to 64 of [A-Za-z0-9._@-]");
  return text;
}
