/** Who gets which partition: properties that hold for any members and whatever they claim to hold. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  dealPartitions,
  decodeHolding,
  encodeHolding,
  type GroupMember,
} from "../../src/adapters/kafka/sticky-assigner.js";

const test = suite("sticky assigner");

const member = (
  id: string,
  generation: number,
  partitions: readonly number[],
): GroupMember => ({ id, generation, partitions });
const shape = (dealt: Map<string, number[]>) =>
  Object.fromEntries([...dealt].sort(([a], [b]) => (a < b ? -1 : 1)));

/** Up to eight members with any claims, also contradicting and senseless ones. */
const groups = fc.record({
  count: fc.integer({ min: 0, max: 40 }),
  members: fc.uniqueArray(
    fc.record({
      id: fc.string({ minLength: 1, maxLength: 4 }),
      generation: fc.integer({ min: 0, max: 5 }),
      partitions: fc.uniqueArray(fc.integer({ min: -2, max: 45 }), {
        maxLength: 45,
      }),
    }),
    { minLength: 1, maxLength: 8, selector: ({ id }) => id },
  ),
});

/** Who holds what before: of several claims the latest generation's, among those the smallest id's. */
function holdersOf(members: readonly GroupMember[], count: number) {
  const holders = new Map<number, GroupMember>();
  for (let p = 0; p < count; p++) {
    const [holder] = members
      .filter(({ partitions }) => partitions.includes(p))
      .sort((a, b) => b.generation - a.generation || (a.id < b.id ? -1 : 1));
    if (holder) holders.set(p, holder);
  }
  return holders;
}

test("every partition goes to exactly one member, and counts differ by at most one", () => {
  fc.assert(
    fc.property(groups, ({ members, count }) => {
      const dealt = dealPartitions(members, count);
      assert.is(dealt.size, members.length);
      const all = [...dealt.values()].flat().sort((a, b) => a - b);
      assert.equal(
        all,
        Array.from({ length: count }, (_, p) => p),
      );
      const sizes = [...dealt.values()].map(({ length }) => length);
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
    }),
    { numRuns: 500 },
  );
});

test("no more partitions move than balance asks for", () => {
  fc.assert(
    fc.property(groups, ({ members, count }) => {
      const holders = holdersOf(members, count);
      const dealt = dealPartitions(members, count);
      let kept = 0;
      for (const [p, { id }] of holders) if (dealt.get(id)!.includes(p)) kept++;
      // The most that can stay: each keeps up to the smaller share, and as many as there are larger shares keep one more.
      const share = Math.floor(count / members.length);
      const held = members.map(
        ({ id }) => [...holders.values()].filter((m) => m.id === id).length,
      );
      const above = held.filter((n) => n > share).length;
      const most =
        held.reduce((sum, n) => sum + Math.min(n, share), 0) +
        Math.min(above, count % members.length);
      assert.is(kept, most);
    }),
    { numRuns: 500 },
  );
});

test("the order of the members does not matter, and dealing again changes nothing", () => {
  fc.assert(
    fc.property(groups, ({ members, count }) => {
      const dealt = dealPartitions(members, count);
      assert.equal(
        shape(dealPartitions(members.toReversed(), count)),
        shape(dealt),
      );
      const again = members.map(({ id }) => member(id, 9, dealt.get(id)!));
      assert.equal(shape(dealPartitions(again, count)), shape(dealt));
    }),
    { numRuns: 300 },
  );
});

test("a member that comes takes its share and the others keep the rest of theirs", () => {
  const dealt = dealPartitions(
    [member("a", 1, [0, 1, 2]), member("b", 1, [3, 4, 5]), member("c", 0, [])],
    6,
  );
  assert.equal(shape(dealt), { a: [0, 1], b: [3, 4], c: [2, 5] });
});

test("of two members that claim a partition the one of the later generation has it", () => {
  const back = member("a", 3, [0, 1, 2, 3]);
  const since = member("b", 4, [0, 1]);
  assert.equal(shape(dealPartitions([back, since], 4)), {
    a: [2, 3],
    b: [0, 1],
  });
});

test("what a member holds survives its way to the leader, and nonsense holds nothing", () => {
  const holding = { generation: 7, partitions: [0, 11, 1023] };
  assert.equal(decodeHolding(encodeHolding(holding)), holding);
  const nothing = { generation: 0, partitions: [] };
  for (const bytes of [
    null,
    undefined,
    Buffer.alloc(0),
    Buffer.alloc(3),
    Buffer.alloc(6),
  ])
    assert.equal(decodeHolding(bytes), nothing);
});

test.run();
