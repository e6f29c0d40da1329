/** `twinstream claims`: what became of uploads, and processing one again. */
import { Command, InvalidArgumentError } from "commander";
import type { ClaimState, UploadClaim, UploadStore } from "../ports.js";
import { count } from "./arguments.js";
import { table } from "./table.js";

const STATES: readonly ClaimState[] = [
  "receiving",
  "stored",
  "processing",
  "done",
  "rejected",
];

export function claimsCommand(): Command {
  const command = new Command("claims")
    .description("show uploads, or process one again")
    .addHelpText(
      "after",
      `
Rows are unique, so processing an upload again stores nothing twice. Its file must still be there: a rejected upload's is
kept for FILE_RETENTION_DAYS, a stored one's only with DELETE_FILE_AFTER_PROCESSING=false.

  twinstream claims list --state rejected      the newest rejected uploads
  twinstream claims show <id>                  one of them, with its first errors
  twinstream claims reprocess <id>             … again, once the cause is gone`,
    );
  command
    .command("list", { isDefault: true })
    .description("uploads, newest first")
    .option("--tenant <name>", "of this tenant only")
    .option("--state <state>", STATES.join(", "), readState)
    .option("--limit <n>", "at most so many", count, 50)
    .option("--json", "print one JSON array")
    .action(async (options: ListOptions) => {
      await withStore(async (store) => {
        const claims = await store.list({
          tenant: options.tenant ?? null,
          state: options.state ?? null,
          limit: options.limit,
        });
        console.log(
          options.json ? JSON.stringify(claims) : claimsTable(claims),
        );
      });
    });
  command
    .command("show")
    .argument("<id>", "claim id")
    .description("one upload, with its first errors, as JSON")
    .option("--json", "on one line")
    .action(async (id: string, { json }: { json?: true }) => {
      await withStore(async (store) => {
        const claim = await found(store, id);
        console.log(JSON.stringify(claim, null, json ? undefined : 2));
      });
    });
  command
    .command("reprocess")
    .argument("<id>", "claim id")
    .description("process an upload again from its kept file")
    .option("--json", "print the claim as one JSON object")
    .action(async (id: string, { json }: { json?: true }) => {
      await withStore(async (store) => {
        const { reprocess } = await import("./claims-reprocess.js");
        await found(store, id);
        await reprocess(store, id);
        console.log(
          json
            ? JSON.stringify(await found(store, id))
            : `claim ${id} is on the log again`,
        );
      });
    });
  return command;
}

interface ListOptions {
  tenant?: string;
  state?: ClaimState;
  limit: number;
  json?: true;
}

async function withStore(
  work: (store: UploadStore) => Promise<void>,
): Promise<void> {
  const { createUploadStore } =
    await import("../adapters/timescale/uploads-store.js");
  const { loadConfig } = await import("../config.js");
  const store = createUploadStore({
    url: loadConfig(process.env).DATABASE_URL,
    name: "claims",
    poolMin: 0,
    poolMax: 1,
  });
  try {
    await work(store);
  } finally {
    await store.close();
  }
}

async function found(store: UploadStore, id: string): Promise<UploadClaim> {
  const claim = await store.find(id);
  if (claim === null) throw new Error(`there is no claim ${id}`);
  return claim;
}

function claimsTable(claims: readonly UploadClaim[]): string {
  if (claims.length === 0) return "no claims";
  const rows = claims.map((claim) => [
    claim.claimId,
    claim.tenant,
    claim.state,
    `${claim.equipments.stored}+${claim.equipments.failed}`,
    `${claim.readings.stored}+${claim.readings.duplicate}+${claim.readings.failed}`,
    String(claim.originalSize),
    new Date(claim.receivedMs).toISOString(),
    claim.errors[0]?.reason ?? "",
  ]);
  const head = [
    "claim",
    "tenant",
    "state",
    "equipments stored+failed",
    "readings stored+duplicate+failed",
    "bytes",
    "received",
    "first error",
  ];
  return table([head, ...rows]);
}

function readState(text: string): ClaimState {
  const state = STATES.find((one) => one === text);
  if (state === undefined)
    throw new InvalidArgumentError(`one of ${STATES.join(", ")}`);
  return state;
}
