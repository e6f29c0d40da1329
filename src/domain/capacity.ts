/**
 * What a running system carries and how much more it could: pure sums over two looks at it. And which devices cost most, by a
 * model of what a message and a reading cost that was measured (deploy/capacity.md says how).
 */

/** Something that can be full. */
export interface Load {
  readonly part: string;
  readonly what: string;
  readonly used: number;
  /** When it is full, in the same unit. */
  readonly full: number;
  readonly unit: "cores" | "bytes" | "messages" | "actors" | "connections";
  /** Whether it grows in proportion to the messages a second: then the rate at which it is full can be told. */
  readonly withRate: boolean;
  /** What to do when it is nearly full. */
  readonly remedy: string;
}

export interface Headroom extends Load {
  /** 0 to 1, or beyond. */
  readonly share: number;
  /** Messages a second at which it is full, by today's load; null where it does not grow with them, or there are none. */
  readonly fullAt: number | null;
}

/** The fullest first. @param rate messages a second while the loads were looked at */
export function headrooms(loads: readonly Load[], rate: number): Headroom[] {
  return loads
    .map((load) => {
      const share = load.full > 0 ? load.used / load.full : 0;
      const fullAt =
        load.withRate && rate >= LEAST_RATE && share > 0 ? rate / share : null;
      return { ...load, share, fullAt };
    })
    .toSorted((a, b) => b.share - a.share);
}

/** Below it a process does other things than messages, and nothing follows from its CPU. */
const LEAST_RATE = 10;

/** One record of the log, as far as its cost goes. */
export interface Cost {
  readonly address: string;
  readonly bytes: number;
  readonly points: number;
}

export interface DeviceCost {
  readonly device: string;
  readonly messagesPerSecond: number;
  readonly pointsPerSecond: number;
  readonly bytesPerSecond: number;
  /** Milliseconds of CPU a second: processor, Redis, database and log together, by the measured model. */
  readonly cpuMs: number;
  /** Of the cost of all devices that were seen, 0 to 1. */
  readonly share: number;
}

/**
 * Microseconds of CPU, all parts together: a drain of 1,000 devices took 39 for a message of one point and 55 for one of four,
 * on two cores that did other work too. Devices are compared by it, so that their ratio matters more than the size.
 */
const COST_US = { message: 34, point: 5 } as const;

/** Sums what devices have said, a stretch of the log at a time. */
export function createCostBook() {
  const devices = new Map<
    string,
    { messages: number; points: number; bytes: number }
  >();
  return {
    /** @param seconds that the records span */
    add(records: Iterable<Cost>, seconds: number): void {
      for (const { address, bytes, points } of records) {
        const sum = devices.get(address) ?? {
          messages: 0,
          points: 0,
          bytes: 0,
        };
        sum.messages += 1 / seconds;
        sum.points += points / seconds;
        sum.bytes += bytes / seconds;
        devices.set(address, sum);
      }
    },
    /** The costliest devices, the first the most. */
    costliest(count: number): {
      readonly devices: number;
      readonly top: DeviceCost[];
    } {
      const costs = [...devices].map(
        ([device, { messages, points, bytes }]) => ({
          device,
          messagesPerSecond: messages,
          pointsPerSecond: points,
          bytesPerSecond: bytes,
          cpuMs: (messages * COST_US.message + points * COST_US.point) / 1000,
        }),
      );
      const total = costs.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
      const top = costs
        .toSorted((a, b) => b.cpuMs - a.cpuMs || (a.device < b.device ? -1 : 1))
        .slice(0, count)
        .map((cost) => ({ ...cost, share: cost.cpuMs / total }));
      return { devices: costs.length, top };
    },
  };
}
