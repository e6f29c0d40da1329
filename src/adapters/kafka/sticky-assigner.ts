/**
 * Who gets which partition number. kafkajs stops all members for every rebalance and ships round robin alone, which
 * deals all partitions anew; here a member keeps what it had, as far as balance allows, and with it its actors and its
 * unflushed effects.
 */
import { AssignerProtocol, type PartitionAssigner } from "kafkajs";

const STICKY_ASSIGNER = "twinstream-sticky";

/** What a member says it holds when it joins. */
export interface Holding {
  /** Generation of the group it got them in: of two members that claim a partition, the later one holds it. */
  readonly generation: number;
  readonly partitions: readonly number[];
}

export interface GroupMember extends Holding {
  readonly id: string;
}

/**
 * Deals partition numbers 0 … count − 1: each to one member, counts differing by at most one, moving as few as that
 * allows. The same members in any order give the same answer.
 */
export function dealPartitions(
  members: readonly GroupMember[],
  count: number,
): Map<string, number[]> {
  const holders = new Map<number, GroupMember>();
  for (const member of members)
    for (const partition of member.partitions) {
      if (!Number.isInteger(partition) || partition < 0 || partition >= count)
        continue;
      const other = holders.get(partition);
      if (
        !other ||
        member.generation > other.generation ||
        (member.generation === other.generation && member.id < other.id)
      )
        holders.set(partition, member);
    }

  const held = new Map<string, number[]>();
  for (const { id } of members) held.set(id, []);
  for (let p = 0; p < count; p++) {
    const holder = holders.get(p);
    if (holder) held.get(holder.id)!.push(p);
  }

  // Who holds most gets the larger shares: any other choice would move more.
  const ids = [...held.keys()].sort(
    (a, b) => held.get(b)!.length - held.get(a)!.length || (a < b ? -1 : 1),
  );
  const share = Math.floor(count / ids.length);
  const larger = count % ids.length;
  const dealt = new Map<string, number[]>();
  const kept = new Set<number>();
  ids.forEach((id, i) => {
    const keep = held.get(id)!.slice(0, share + (i < larger ? 1 : 0));
    for (const partition of keep) kept.add(partition);
    dealt.set(id, keep);
  });

  let next = 0;
  ids.forEach((id, i) => {
    const mine = dealt.get(id)!;
    const quota = share + (i < larger ? 1 : 0);
    while (mine.length < quota) {
      while (kept.has(next)) next++;
      mine.push(next++);
    }
    mine.sort((a, b) => a - b);
  });
  return dealt;
}

/** The assigner as kafkajs takes it. `holding` is asked at each join. */
export function stickyAssigner(holding: () => Holding): PartitionAssigner {
  const version = 1;
  return ({ cluster }) => ({
    name: STICKY_ASSIGNER,
    version,
    protocol: ({ topics }) => ({
      name: STICKY_ASSIGNER,
      metadata: AssignerProtocol.MemberMetadata.encode({
        version,
        topics,
        userData: encodeHolding(holding()),
      }),
    }),
    assign: async ({ members, topics }) => {
      const counts = topics.map(
        (topic) => cluster.findTopicPartitionMetadata(topic).length,
      );
      const dealt = dealPartitions(
        members.map(({ memberId, memberMetadata }) => ({
          id: memberId,
          ...decodeHolding(
            AssignerProtocol.MemberMetadata.decode(memberMetadata)?.userData,
          ),
        })),
        Math.max(0, ...counts),
      );
      return [...dealt].map(([memberId, partitions]) => ({
        memberId,
        memberAssignment: AssignerProtocol.MemberAssignment.encode({
          version,
          assignment: Object.fromEntries(
            topics.map((topic, i) => [
              topic,
              partitions.filter((partition) => partition < counts[i]!),
            ]),
          ),
          userData: Buffer.alloc(0),
        }),
      }));
    },
  });
}

/** Generation, then partition numbers, 32 bits each. */
export function encodeHolding({ generation, partitions }: Holding): Buffer {
  const buffer = Buffer.alloc(4 * (1 + partitions.length));
  buffer.writeInt32BE(generation, 0);
  partitions.forEach((partition, i) =>
    buffer.writeInt32BE(partition, 4 * (i + 1)),
  );
  return buffer;
}

/** Anything else than what `encodeHolding` writes holds nothing. */
export function decodeHolding(userData: Buffer | null | undefined): Holding {
  if (!userData || userData.length < 4 || userData.length % 4 !== 0)
    return { generation: 0, partitions: [] };
  const partitions: number[] = [];
  for (let at = 4; at < userData.length; at += 4)
    partitions.push(userData.readInt32BE(at));
  return { generation: userData.readInt32BE(0), partitions };
}
