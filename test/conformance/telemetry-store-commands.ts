/** The life of commands, as every TelemetryStore must keep it. */
import * as assert from "uvu/assert";
import type { CommandChange } from "../../src/ports.js";
import type { StoreRig, StoreTest } from "./telemetry-store.js";
import {
  ack,
  change,
  claimLane,
  command,
  device,
  moved,
  NOW_US,
  PARTITION,
} from "./telemetry-store-batches.js";

const to = (
  cmdId: string,
  state: CommandChange["state"],
  evidence = "test",
): CommandChange => ({
  cmdId,
  state,
  atUs: NOW_US + 500_000,
  evidence,
});

/** A device with commands c1 and c2, queued. */
async function withCommands({ store }: StoreRig) {
  const dev = device("dev-1");
  await store.register(PARTITION, [dev], []);
  const lane = await claimLane(store);
  const first = moved(
    await lane.flush(2, {
      changes: [change(dev, { commands: [command("c1"), command("c2")] })],
    }),
  );
  return { dev, lane, first };
}

export function commandTests(test: StoreTest): void {
  test("a command is queued once, however often its request is read", async (rig) => {
    const { dev, lane, first } = await withCommands(rig);
    assert.equal(
      first.queued.map(({ cmdId }) => cmdId),
      ["c1", "c2"],
    );
    const again = moved(
      await lane.flush(1, {
        changes: [
          change(dev, {
            commands: [command("c1"), command("c3"), command("c3")],
          }),
        ],
      }),
    );
    assert.equal(
      again.queued.map(({ cmdId }) => cmdId),
      ["c3"],
    );
    assert.equal((await rig.commands()).get("c1")!.history, [
      "accepted",
      "queued",
    ]);
  });

  test("open commands come back whole, oldest first, until they end", async (rig) => {
    const { dev, lane } = await withCommands(rig);
    const odd = command("c0", {
      createdUs: NOW_US + 1,
      params: { deep: ["\u0000", "\ud800"] },
      queue: true,
      by: "joão",
    });
    await lane.flush(1, {
      changes: [change(dev, { commands: [odd] })],
      commandChanges: [to("c2", "expired")],
    });
    const open = await rig.store.openCommands(PARTITION);
    assert.equal(
      open.map(({ request }) => request),
      [command("c1"), odd],
    );
    assert.equal(
      open.map(({ state, device: of }) => [state, of.address, of.equipmentId]),
      [
        ["queued", "dev-1", dev.equipmentId],
        ["queued", "dev-1", dev.equipmentId],
      ],
    );
    assert.equal(await rig.store.openCommands(PARTITION + 1), []);
  });

  test("a command goes forward only, and back to queued only when nobody was there", async (rig) => {
    const { lane } = await withCommands(rig);
    await lane.flush(0, {
      commandChanges: [
        to("c1", "sent"),
        to("c1", "delivered"),
        to("c1", "sent"),
        to("c1", "queued", "retry"),
      ],
    });
    assert.equal((await rig.commands()).get("c1")!.history, [
      "accepted",
      "queued",
      "sent",
      "delivered",
    ]);
    await lane.flush(0, {
      commandChanges: [to("c1", "queued", "no_subscriber"), to("c1", "sent")],
    });
    assert.equal((await rig.commands()).get("c1")!.history.slice(4), [
      "queued",
      "sent",
    ]);
    assert.is((await rig.commands()).get("c1")!.state, "sent");
  });

  test("the device's ack ends its command, and the flush says which ended", async (rig) => {
    const { dev, lane } = await withCommands(rig);
    const result = moved(
      await lane.flush(2, {
        commandChanges: [to("c1", "sent"), to("c1", "delivered")],
        changes: [
          change(dev, {
            acks: [
              ack(dev, "c1"),
              ack(dev, "c2", { ok: false, err: "jam\0med" }),
            ],
          }),
        ],
      }),
    );
    assert.equal(result.ended, [
      { cmdId: "c1", state: "acked" },
      { cmdId: "c2", state: "failed" },
    ]);
    const commands = await rig.commands();
    assert.equal(commands.get("c1"), {
      state: "acked",
      ok: true,
      err: null,
      history: ["accepted", "queued", "sent", "delivered", "acked"],
    });
    assert.equal(
      [commands.get("c2")!.state, commands.get("c2")!.ok],
      ["failed", false],
    );
    assert.equal((await rig.acks()).get("c1"), {
      device: "dev-1",
      ok: true,
      execUs: NOW_US + 1_000_000,
      late: false,
      known: true,
    });
  });

  test("an ended command stays as it ended; a later ack is kept as late", async (rig) => {
    const { dev, lane } = await withCommands(rig);
    const expired = moved(
      await lane.flush(0, { commandChanges: [to("c1", "expired")] }),
    );
    assert.equal(expired.ended, [{ cmdId: "c1", state: "expired" }]);
    const late = moved(
      await lane.flush(1, {
        commandChanges: [to("c1", "delivered")],
        changes: [change(dev, { acks: [ack(dev, "c1")] })],
      }),
    );
    assert.equal(late.ended, []);
    assert.is((await rig.commands()).get("c1")!.state, "expired");
    assert.equal(
      [(await rig.acks()).get("c1")!.late, (await rig.acks()).get("c1")!.known],
      [true, true],
    );
  });

  test("an ack in the flush that would expire its command goes first", async (rig) => {
    const { dev, lane } = await withCommands(rig);
    const result = moved(
      await lane.flush(1, {
        commandChanges: [to("c1", "expired")],
        changes: [change(dev, { acks: [ack(dev, "c1")] })],
      }),
    );
    assert.equal(result.ended, [{ cmdId: "c1", state: "acked" }]);
  });

  test("the same ack any number of times leaves one row and the same row", async (rig) => {
    const { dev, lane } = await withCommands(rig);
    const once = [change(dev, { acks: [ack(dev, "c1"), ack(dev, "c1")] })];
    await lane.flush(2, { changes: once });
    const before = await rig.acks();
    await lane.flush(2, { changes: once });
    assert.equal(await rig.acks(), before);
    assert.equal((await rig.commands()).get("c1")!.history, [
      "accepted",
      "queued",
      "acked",
    ]);
    assert.not(before.get("c1")!.late);
  });

  for (const [way, batches] of [
    ["together", [[0, 1]]],
    ["apart", [[0], [1]]],
  ] as const)
    test(`of two differing acks that come ${way} the first decides and the smallest stands, as late`, async (rig) => {
      const { dev, lane } = await withCommands(rig);
      const acks = [
        ack(dev, "c1", { execUs: NOW_US + 9, hash: "9".repeat(64) }),
        ack(dev, "c1", {
          execUs: NOW_US + 5,
          ok: false,
          err: "x",
          hash: "a".repeat(64),
        }),
      ];
      for (const batch of batches)
        await lane.flush(1, {
          changes: [change(dev, { acks: batch.map((i) => acks[i]!) })],
        });
      assert.equal(
        [
          (await rig.commands()).get("c1")!.state,
          (await rig.commands()).get("c1")!.ok,
        ],
        ["acked", true],
      );
      assert.equal((await rig.acks()).get("c1"), {
        device: "dev-1",
        ok: false,
        execUs: NOW_US + 5,
        late: true,
        known: true,
      });
    });

  test("an ack for a command that is unknown, or another device's, is kept and changes nothing", async (rig) => {
    const { lane } = await withCommands(rig);
    const other = device("dev-2");
    await rig.store.register(PARTITION, [other], []);
    const result = moved(
      await lane.flush(2, {
        changes: [
          change(other, { acks: [ack(other, "c9"), ack(other, "c1")] }),
        ],
      }),
    );
    assert.equal(result.ended, []);
    assert.is((await rig.commands()).get("c1")!.state, "queued");
    const acks = await rig.acks();
    assert.equal(
      [acks.get("c9")!.known, acks.get("c1")!.known, acks.get("c1")!.device],
      [false, false, "dev-2"],
    );
  });
}
