/** What holds of every command alike. */
import type { Command } from "commander";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createProgram } from "../../src/main/program.js";

const ROLES = ["bridge", "processor", "gateway", "worker", "all"];

const program = suite("command line");

/** The commands that do something, each by its whole name. */
function leaves(command: Command, before: string[] = []): [string, Command][] {
  return command.commands.flatMap((one) => {
    const name = [...before, one.name()];
    return one.commands.length > 0
      ? leaves(one, name)
      : [[name.join(" "), one] as [string, Command]];
  });
}

program("every command but the roles can answer in JSON", () => {
  const without = leaves(createProgram())
    .filter(([, { options }]) => !options.some(({ long }) => long === "--json"))
    .map(([name]) => name);
  assert.equal(without, ROLES);
});

program("every command and option says what it does", () => {
  for (const [name, command] of leaves(createProgram())) {
    assert.ok(command.description() !== "", name);
    for (const { flags, description } of command.options)
      assert.ok(description !== "", `${name} ${flags}`);
  }
});

program.run();
