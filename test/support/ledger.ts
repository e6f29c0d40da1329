/** Holds the simulator's ledger against what a test's stack has: by the comparison that `twinstream drill` makes. */
import { connectLog } from "../../src/adapters/kafka/connect.js";
import { createLogInspector } from "../../src/adapters/kafka/inspector.js";
import { loadConfig } from "../../src/config.js";
import { TOPIC } from "../../src/domain/names.js";
import {
  compareWithStores,
  logReading,
} from "../../src/main/drill/evidence.js";
import type { Comparison } from "../../src/simulator/compare.js";
import type { Attempt } from "../../src/simulator/ledger.js";

export { readLedger } from "../../src/main/drill/evidence.js";

const READ_MS = 60_000;

/**
 * To be called once everything is stored.
 * @param env the stack's settings @param prefix of the ids of the devices that the run sent for
 */
export async function compareLedger(
  attempts: readonly Attempt[],
  env: Readonly<Record<string, string>>,
  prefix: string,
): Promise<Comparison> {
  const config = loadConfig(env);
  const log = createLogInspector(
    connectLog({
      brokers: [config.KAFKA_BROKERS],
      clientId: "test",
      log: () => undefined,
    }),
  );
  try {
    const from = (await log.bounds(TOPIC.data)).map(({ low }) => low);
    const reading = logReading(log, config, { prefix, from });
    await reading.readOn(AbortSignal.timeout(READ_MS));
    return await compareWithStores(config, prefix, attempts, reading.found);
  } finally {
    await log.close();
  }
}
