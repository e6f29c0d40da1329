/** The life of commands, as every TelemetryStore must keep it. Longer than 300 lines: one part of the port, one suite. */
import * as assert from "uvu/assert";
import type { CommandChange } from "../../src/ports.js";
import { seededRandom } from "../../src/simulator/random.js";
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
  row,
  sensor,
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

  test("a command takes the place of its slot's older ones, in log order", async (rig) => {
    const { dev, lane } = await withCommands(rig);
    const other = device("dev-2");
    await rig.store.register(PARTITION, [other], []);
    const slot = { supersedes: "speed" };
    const first = moved(
      await lane.flush(2, {
        changes: [
          change(dev, { commands: [command("s1", slot), command("s2", slot)] }),
          change(other, { commands: [command("s9", slot)] }),
        ],
      }),
    );
    assert.equal(first.queued.map(({ cmdId }) => cmdId).toSorted(), [
      "s2",
      "s9",
    ]);
    assert.equal(first.ended, [{ cmdId: "s1", state: "superseded" }]);
    const second = moved(
      await lane.flush(2, {
        commandChanges: [to("s2", "sent")],
        // Asked for again, it is what it was: it supersedes nothing.
        changes: [
          change(dev, { commands: [command("s3", slot), command("s2", slot)] }),
        ],
      }),
    );
    assert.equal(second.ended, [{ cmdId: "s2", state: "superseded" }]);
    const commands = await rig.commands();
    assert.equal(commands.get("s2")!.history, [
      "accepted",
      "queued",
      "sent",
      "superseded",
    ]);
    assert.equal(
      ["s3", "s9", "c1"].map((cmdId) => commands.get(cmdId)!.state),
      ["queued", "queued", "queued"],
    );
  });

  test("a command is canceled by its own device's record alone, and once", async (rig) => {
    const { dev, lane } = await withCommands(rig);
    const cancel = (cancels: string, of = dev) => ({
      tenant: of.tenant,
      deviceId: of.deviceId,
      cancels,
      by: "ana",
      askedUs: NOW_US,
    });
    const other = device("dev-2");
    await rig.store.register(PARTITION, [other], []);
    const result = moved(
      await lane.flush(4, {
        changes: [
          change(other, { commands: [cancel("c2", other)] }),
          change(dev, {
            commands: [
              cancel("c1"),
              cancel("c1"),
              cancel("c9"),
              command("c3"),
              cancel("c3"),
            ],
          }),
        ],
      }),
    );
    assert.equal(result.queued, []);
    assert.equal(
      result.ended.toSorted((a, b) => (a.cmdId < b.cmdId ? -1 : 1)),
      [
        { cmdId: "c1", state: "canceled" },
        { cmdId: "c3", state: "canceled" },
      ],
    );
    const commands = await rig.commands();
    assert.equal(commands.get("c1")!.history, [
      "accepted",
      "queued",
      "canceled",
    ]);
    assert.is(commands.get("c2")!.state, "queued");
  });

  test("a condition is judged by what the flush itself stores, and remembered until the command reached nobody", async (rig) => {
    const dev = device("dev-1");
    const status = sensor(dev, "status", "text");
    await rig.store.register(PARTITION, [dev], [status]);
    const lane = await claimLane(rig.store);
    const precondition = { point: "status", op: "eq", value: "STOP" } as const;
    const judge = (...ids: string[]) =>
      ids.map((cmdId) => ({ cmdId, atUs: NOW_US }));
    await lane.flush(1, {
      changes: [
        change(dev, {
          commands: ["p1", "p2", "p3"].map((id) =>
            command(id, { precondition }),
          ),
        }),
      ],
    });
    const none = moved(await lane.flush(0, { toJudge: judge("p1") }));
    assert.equal(none.judged, []);
    assert.equal(none.ended, [{ cmdId: "p1", state: "rejected" }]);
    const held = moved(
      await lane.flush(1, {
        changes: [change(dev, { rows: [row(status, NOW_US, "STOP")] })],
        toJudge: judge("p2", "p1", "unknown"),
      }),
    );
    assert.equal(held.judged, ["p2"]);
    const judgedOf = async () =>
      (await rig.store.openCommands(PARTITION)).map(
        ({ request, judged }) => `${request.cmdId} ${judged}`,
      );
    assert.equal(await judgedOf(), ["p2 true", "p3 false"]);
    assert.equal(
      (await rig.store.openCommands(PARTITION))[0]!.request.precondition,
      precondition,
    );
    await lane.flush(0, {
      commandChanges: [to("p2", "sent"), to("p2", "queued", "no_subscriber")],
    });
    assert.equal(await judgedOf(), ["p2 false", "p3 false"]);
    const changed = moved(
      await lane.flush(1, {
        changes: [change(dev, { rows: [row(status, NOW_US + 1, "RUN")] })],
        toJudge: judge("p2"),
      }),
    );
    assert.equal(changed.ended, [{ cmdId: "p2", state: "rejected" }]);
  });

  test("a thousand acks, shuffled and repeated, leave one row and one end a command", async (rig) => {
    const dev = device("dev-1");
    await rig.store.register(PARTITION, [dev], []);
    const lane = await claimLane(rig.store);
    const ids = Array.from({ length: 40 }, (_, i) => `a${i}`);
    await lane.flush(ids.length, {
      changes: [change(dev, { commands: ids.map((id) => command(id)) })],
    });
    // Five different answers a command, five times each.
    const acks = ids.flatMap((id) =>
      [0, 1, 2, 3, 4].map((n) =>
        ack(dev, id, {
          ok: n % 2 === 0,
          execUs: NOW_US + (n >> 1),
          hash: `${n}`.repeat(64),
        }),
      ),
    );
    const random = seededRandom(1, "acks");
    const shuffled = [...acks, ...acks, ...acks, ...acks, ...acks]
      .map((one) => ({ one, place: random() }))
      .toSorted((a, b) => a.place - b.place)
      .map(({ one }) => one);
    assert.is(shuffled.length, 1000);
    let ended = 0;
    for (let from = 0; from < shuffled.length;) {
      const to = from + 1 + Math.floor(random() * 60);
      const batch = shuffled.slice(from, to);
      const result = moved(
        await lane.flush(batch.length, {
          changes: [change(dev, { acks: batch })],
        }),
      );
      ended += result.ended.length;
      from = to;
    }
    assert.is(ended, ids.length, "each ended once");
    const commands = await rig.commands();
    const kept = await rig.acks();
    assert.is(kept.size, ids.length);
    for (const id of ids) {
      const first = shuffled.find(({ cmdId }) => cmdId === id)!;
      const { state, ok, history } = commands.get(id)!;
      assert.equal(
        [state, ok, history.length],
        [first.ok ? "acked" : "failed", first.ok, 3],
        "the first on the log decides",
      );
      assert.equal(
        [kept.get(id)!.ok, kept.get(id)!.execUs],
        [true, NOW_US],
        "the smallest stands",
      );
    }
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
