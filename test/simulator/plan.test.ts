/** The fleet's plan: repeatable, of the shares asked for, and with a time of its own for each message. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { FleetPlan, Planned } from "../../src/simulator/fleet.js";
import { planFor } from "../../src/simulator/plan.js";
import { START_US, everyDevice, fleetOf, planned } from "./fleets.js";

const plans = suite("the fleet's plan");

const anyFleet: fc.Arbitrary<FleetPlan> = fc
  .record({
    seed: fc.nat(),
    devices: fc.integer({ min: 1, max: 12 }),
    rate: fc.constantFrom(0, 3, 1000, 50_000),
    messages: fc.integer({ min: 0, max: 300 }),
    outOfOrder: fc.constantFrom(0, 0.1, 0.5, 1),
    duplicates: fc.constantFrom(0, 0.2, 0.6),
    poison: fc.constantFrom(0, 0.1, 0.4),
    points: fc.integer({ min: 2, max: 20 }),
  })
  .map(fleetOf);

const bytesOf = (messages: readonly Planned[]) =>
  messages.map(
    ({ device, seq, class: kind, payload }) =>
      `${device} ${seq} ${kind} ${payload.toString("latin1")}`,
  );

plans("of the same seed and start is the same, byte by byte", () => {
  fc.assert(
    fc.property(anyFleet, (fleet) => {
      assert.equal(bytesOf(planned(fleet)), bytesOf(planned(fleet)));
    }),
    { numRuns: 50 },
  );
});

plans("of another seed is another", () => {
  const one = bytesOf(planned(fleetOf({ seed: 1 })));
  const other = bytesOf(planned(fleetOf({ seed: 2 })));
  assert.ok(one.filter((bytes, i) => bytes !== other[i]).length > 900);
});

plans("is the same however the devices are spread over connections", () => {
  fc.assert(
    fc.property(anyFleet, fc.integer({ min: 1, max: 5 }), (fleet, spread) => {
      const parts = Array.from({ length: spread }, (_, part) =>
        everyDevice(fleet).filter((device) => device % spread === part),
      );
      const apart = parts.flatMap((devices) => planned(fleet, devices));
      assert.equal(
        bytesOf(apart).toSorted(),
        bytesOf(planned(fleet)).toSorted(),
      );
    }),
    { numRuns: 50 },
  );
});

plans("has exactly the messages asked for, in the order they are due", () => {
  fc.assert(
    fc.property(anyFleet, (fleet) => {
      const all = planned(fleet);
      assert.is(all.length, fleet.messages);
      for (const [i, message] of all.entries())
        assert.ok(i === 0 || message.dueUs >= all[i - 1]!.dueUs);
    }),
    { numRuns: 50 },
  );
});

plans("gives each message but a duplicate a time of its own", () => {
  fc.assert(
    fc.property(anyFleet, (fleet) => {
      const seen = new Set<string>();
      for (const { device, timeUs, class: kind } of planned(fleet)) {
        if (kind === "dup") continue;
        const key = `${device} ${timeUs}`;
        assert.not(seen.has(key), key);
        seen.add(key);
      }
    }),
    { numRuns: 50 },
  );
});

plans("numbers a device's messages from 1 without a gap", () => {
  const all = planned(
    fleetOf({ outOfOrder: 0.3, duplicates: 0.1, poison: 0.1 }),
  );
  for (let device = 0; device < 10; device += 1) {
    const mine = new Set(
      all.filter((one) => one.device === device).map(({ seq }) => seq),
    );
    assert.equal(
      [...mine].toSorted((a, b) => a - b),
      Array.from(mine, (_, i) => i + 1),
    );
  }
});

plans(
  "calls late what comes after a message that was made later, and only that",
  () => {
    const newest = new Map<number, number>();
    let late = 0;
    for (const message of planned(
      fleetOf({ outOfOrder: 0.2, messages: 5000 }),
    )) {
      const before = newest.get(message.device) ?? 0;
      assert.is(message.seq < before, message.class === "late");
      if (message.class === "late") late += 1;
      newest.set(message.device, Math.max(before, message.seq));
    }
    assert.ok(late > 0);
  },
);

plans(
  "repeats in a duplicate the bytes of an earlier message of its device",
  () => {
    const sent = new Map<string, Planned>();
    let repeated = 0;
    for (const message of planned(fleetOf({ duplicates: 0.3 }))) {
      const key = `${message.device} ${message.seq}`;
      const first = sent.get(key);
      assert.is(first !== undefined, message.class === "dup");
      if (first !== undefined) {
        repeated += 1;
        assert.equal(message.payload, first.payload);
        assert.is(message.timeUs, first.timeUs);
      }
      sent.set(key, message);
    }
    assert.ok(repeated > 200);
  },
);

plans("keeps to the shares asked for", () => {
  const messages = 40_000;
  const all = planned(
    fleetOf({
      messages,
      devices: 40,
      poison: 0.05,
      duplicates: 0.1,
      outOfOrder: 0.2,
    }),
  );
  const share = (of: (message: Planned) => boolean) =>
    all.filter(of).length / messages;
  const near = (actual: number, wanted: number) =>
    assert.ok(
      Math.abs(actual - wanted) < 0.25 * wanted,
      `${actual} is not about ${wanted}`,
    );
  near(
    share(({ class: kind }) => kind === "poison"),
    0.05,
  );
  near(
    share(({ class: kind }) => kind === "dup"),
    0.1,
  );
  near(
    share(({ class: kind }) => kind === "late"),
    0.2,
  );
});

plans("keeps to the mix", () => {
  const messages = 20_000;
  const all = planned(fleetOf({ messages }));
  const share = (mark: string) =>
    all.filter(({ payload }) => payload.includes(mark)).length / messages;
  const near = (mark: string, wanted: number) =>
    assert.ok(Math.abs(share(mark) - wanted) < 0.02, `${mark}: ${share(mark)}`);
  near('"schema":"v1"', 0.7);
  near('"sensors":', 0.2);
  near('"schema":"parsec_v1"', 0.05);
  near('{"seq"', 0.05);
});

plans(
  "spaces messages by the rate, and has them all due at once without one",
  () => {
    const due = planned(fleetOf({ rate: 200, messages: 5 })).map(
      ({ dueUs }) => dueUs,
    );
    assert.equal(due, [0, 5000, 10_000, 15_000, 20_000]);
    assert.is(planFor(fleetOf({ rate: 0 }), [0]).dueUs(), 0);
    assert.is(planFor(fleetOf({ messages: 0 }), [0]).dueUs(), Infinity);
  },
);

plans("makes a tenant's hello the word of its state topic", () => {
  const mix = { normalised: 0, plain: 0, parsec: 0, hello: 1 };
  const [hello] = planned(fleetOf({ mix, tenants: true }));
  assert.is(hello!.payload.toString(), "online");
  assert.is(hello!.points, 0);
});

plans(
  "with a clock that is set back goes on from there, and uses no time twice",
  () => {
    const HOUR_US = 3_600_000_000;
    const fleet = fleetOf({
      backlog: { after: 4, turns: 1, spanUs: -HOUR_US },
    });
    const times = planned(fleet)
      .filter(({ device }) => device === 3)
      .map(({ timeUs }) => timeUs);
    const steps = times.slice(1).map((us, n) => us - times[n]!);
    assert.is(steps.filter((us) => us < 0).length, 1);
    assert.ok(Math.abs(Math.min(...steps) + HOUR_US) < 200_000);
    assert.is(new Set(times).size, times.length);
  },
);

plans(
  "with a backlog has all of it due at one moment, and a device clock that goes on through it",
  () => {
    const backlog = { after: 3, turns: 6, spanUs: 3_600_000_000 };
    const fleet = fleetOf({ backlog });
    const cutUs = (backlog.after * fleet.devices * 1e6) / fleet.rate;
    const plan = planFor(fleet, [4]);
    const due: number[] = [];
    const times: number[] = [];
    while (plan.dueUs() !== Infinity) {
      due.push(plan.dueUs());
      times.push(plan.next().timeUs);
    }
    const keptDue = cutUs + (4 * 1e6) / fleet.rate;
    assert.equal(
      due.slice(backlog.after, backlog.after + backlog.turns + 1),
      Array.from({ length: backlog.turns + 1 }, () => keptDue),
    );
    assert.ok(due[2]! < keptDue && due[10]! > keptDue);
    assert.equal(
      times,
      times.toSorted((a, b) => a - b),
    );
    assert.is(new Set(times).size, times.length);
    const after = times[backlog.after + backlog.turns]!;
    assert.ok(Math.abs(after - START_US - keptDue - backlog.spanUs) < 1000);
  },
);

plans("over slow links sends a backlog one message after the other", () => {
  const everyUs = 2_000_000;
  const backlog = { after: 3, turns: 6, spanUs: 3_600_000_000, everyUs };
  const fleet = fleetOf({ backlog });
  const plan = planFor(fleet, [4]);
  const due: number[] = [];
  while (plan.dueUs() !== Infinity) {
    due.push(plan.dueUs());
    plan.next();
  }
  const first = due[backlog.after]!;
  assert.equal(
    due.slice(backlog.after, backlog.after + backlog.turns),
    Array.from({ length: backlog.turns }, (_, n) => first + n * everyUs),
  );
  const stepUs = (fleet.devices * 1e6) / fleet.rate;
  const turns = backlog.after + backlog.turns;
  assert.is(
    due[turns + 1]! - due[turns]!,
    stepUs,
    "and then goes on as before",
  );
});

plans.run();
