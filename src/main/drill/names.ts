/** What can be drilled, in words: what --help says. */

export const DRILLS = [
  {
    name: "redis",
    does: "kill -9 of Redis; with --empty its data goes too and is made again from the log",
  },
  { name: "database", does: "kill -9 of PostgreSQL and all its backends" },
  { name: "processor", does: "kill -9 of the processor" },
  {
    name: "reconnect",
    does: "every device cut off at once, and back with --backlog messages it kept for an hour",
  },
] as const;

export type DrillName = (typeof DRILLS)[number]["name"];
