/** What simulated devices write, held against the decoder that the processor uses. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createDecoder, isDeadLetter } from "../../src/domain/decode.js";
import type { DataMessage } from "../../src/domain/message.js";
import type { Mix, Planned } from "../../src/simulator/fleet.js";
import { POISONS, type Report } from "../../src/simulator/payloads.js";
import { RULES, heard } from "../domain/records.js";
import { START_US, fleetOf, planned } from "./fleets.js";

const { decode } = createDecoder(RULES);
const only = (dialect: keyof Mix): Mix => ({
  normalised: 0,
  plain: 0,
  parsec: 0,
  hello: 0,
  [dialect]: 1,
});

function decoded({ payload }: Planned): DataMessage {
  const outcome = decode(heard(payload));
  if (isDeadLetter(outcome) || outcome.kind !== "data")
    throw new Error(`not taken: ${JSON.stringify(outcome)}`);
  return outcome;
}

const dialects = suite("the dialects of simulated devices");

for (const dialect of ["normalised", "plain", "parsec"] as const)
  dialects(
    `${dialect}: is taken, with the time and the points that the plan has`,
    () => {
      for (const points of [2, 4, 25])
        for (const message of planned(
          fleetOf({ mix: only(dialect), points, devices: 40, messages: 200 }),
        )) {
          const { timeUs, points: taken, conflicts } = decoded(message);
          assert.is(timeUs, message.timeUs);
          assert.is(taken.length, message.points);
          assert.is(conflicts.length, 0);
        }
    },
  );

for (const dialect of ["normalised", "plain"] as const)
  dialects(`${dialect}: carries seq and boot as points`, () => {
    for (const message of planned(fleetOf({ mix: only(dialect), points: 3 }))) {
      const { points } = decoded(message);
      const value = (name: string) =>
        points.find((point) => point.name === name)?.value;
      assert.is(value("seq"), message.seq);
      assert.is(value("boot"), START_US / 1000);
    }
  });

dialects("devices write their time in each of the ways there are", () => {
  const written = planned(
    fleetOf({ mix: only("normalised"), devices: 60, messages: 60, rate: 777 }),
  ).map(({ payload }) => /"ts":([^,]+),/.exec(payload.toString())?.[1] ?? "");
  for (const way of [
    /^"[-\d]+T[\d:]+\.\d{3}Z"$/,
    /^"[-\d]+T[\d:]+\.\d{6}Z"$/,
    /^\d{13}$/,
    /^\d{10}\.\d{3}$/,
  ])
    assert.ok(
      written.some((ts) => way.test(ts)),
      String(way),
    );
});

dialects.run();

const poisons = suite("poison");
const report: Report = {
  seq: 12,
  boot: START_US / 1000,
  ts: '"2025-11-20T10:00:00.000Z"',
  samples: [],
};

for (const [name, poison] of Object.entries(POISONS))
  poisons(`${name} is refused whole as ${poison.reason}`, () => {
    const bytes = poison.bytes(report);
    const outcome = decode(heard(Buffer.from(bytes)));
    assert.ok(isDeadLetter(outcome));
    assert.is(outcome.reason, poison.reason);
    assert.is(outcome.item, -1);
  });

poisons(
  "of every message differs in its bytes and says why in the plan",
  () => {
    const all = planned(fleetOf({ poison: 1, messages: 400 }));
    assert.is(
      new Set(
        all.map(
          ({ device, payload }) => `${device} ${payload.toString("hex")}`,
        ),
      ).size,
      400,
    );
    for (const message of all) {
      const outcome = decode(heard(message.payload));
      assert.ok(isDeadLetter(outcome));
      assert.is(outcome.reason, message.reason);
      assert.is(message.points, 0);
    }
  },
);

poisons.run();
