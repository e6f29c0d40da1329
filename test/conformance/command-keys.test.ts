/** Idempotency keys of commands: the database, and the double that the gateway's tests use in its place. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createCommandKeys } from "../../src/adapters/timescale/command-keys.js";
import type { CommandKeys } from "../../src/ports.js";
import { withDatabase } from "../support/database.js";
import { createMemoryCommandKeys } from "../support/memory-readers.js";

const NOW_MS = 1_763_600_000_123;
const DAY_MS = 86_400_000;
const place = { tenant: "acme", deviceId: "dev-1", key: "k" };
const command = (cmdId: string, createdMs = NOW_MS) => ({
  cmdId,
  createdMs,
  bodyHash: `hash of ${cmdId}`,
});

const WAYS: Record<
  string,
  (work: (keys: CommandKeys) => Promise<void>) => Promise<void>
> = {
  double: (work) => work(createMemoryCommandKeys()),
  database: (work) =>
    withDatabase({ extension: "never" }, async ({ url }) => {
      const keys = createCommandKeys({ url, name: "keys test", poolMax: 8 });
      try {
        await work(keys);
      } finally {
        await keys.close();
      }
    }),
};

for (const [name, withKeys] of Object.entries(WAYS)) {
  const test = suite(`command keys: ${name}`);

  test("a key stands for its first command, of its device alone, until it is too old", () =>
    withKeys(async (keys) => {
      const since = NOW_MS - DAY_MS;
      assert.is(await keys.find(place, since), null);
      assert.equal(await keys.take(place, command("c1"), since), command("c1"));
      assert.equal(await keys.take(place, command("c2"), since), command("c1"));
      assert.equal(await keys.find(place, since), command("c1"));
      for (const other of [
        { ...place, tenant: "default" },
        { ...place, deviceId: "dev-2" },
        { ...place, key: "K" },
      ])
        assert.is(await keys.find(other, since), null);
      assert.equal(await keys.find(place, NOW_MS), command("c1"));
      assert.is(await keys.find(place, NOW_MS + 1), null);
      const later = command("c3", NOW_MS + DAY_MS + 1);
      assert.equal(await keys.take(place, later, NOW_MS + 1), later);
      assert.equal(await keys.find(place, NOW_MS + 1), later);
    }));

  test("of many that take a key at once one has it", () =>
    withKeys(async (keys) => {
      const taken = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          keys.take(place, command(`c${i}`), NOW_MS - DAY_MS),
        ),
      );
      assert.is(new Set(taken.map(({ cmdId }) => cmdId)).size, 1);
    }));

  test.run();
}
