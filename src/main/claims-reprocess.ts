/** An upload's claim check on the log again; the worker then begins at its first equipment. */
import { createLogWriter } from "../adapters/kafka/writer.js";
import { createObjectStore } from "../adapters/objects/store.js";
import { loadConfig } from "../config.js";
import { claimCheckRecord } from "../domain/claim-check.js";
import { TOPIC } from "../domain/names.js";
import type { UploadStore } from "../ports.js";
import { commandLogConnection } from "./kafka-log.js";
import { createActLog } from "./operator-acts.js";

/** @throws Error when the claim has not ended, or its object is gone */
export async function reprocess(
  store: UploadStore,
  claimId: string,
): Promise<void> {
  const config = loadConfig(process.env);
  const claim = await store.find(claimId);
  if (claim === null) throw new Error(`there is no claim ${claimId}`);
  const objects = createObjectStore(config, () => undefined);
  const log = createLogWriter(commandLogConnection(config, "claims"));
  try {
    if ((await objects.head(claim.key)) === null)
      throw new Error(
        `the object ${claim.key} of claim ${claimId} is gone; upload it again`,
      );
    // Dying between these two leaves a claim that is stored and not announced: the sweeper puts it on the log.
    if ((await store.reopen(claimId)) === null)
      throw new Error(
        `claim ${claimId} is ${claim.state}: only one that is done or rejected can be processed again`,
      );
    await log.append(TOPIC.uploads, [claimCheckRecord(claim)]);
    createActLog(config)("claims reprocess", claimId, claim.tenant, true);
  } finally {
    await log.close();
    await objects.close();
  }
}
