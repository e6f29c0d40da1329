/** The rules that a record is held against whatever its kind: where it lies, whose it is, when it was. */
import type { ChooseAdapter } from "./adapters/registry.js";
import { type Fault, fault } from "./fault.js";
import type { LogRecord } from "./message.js";
import { partitionOf } from "./partition.js";
import { toIso } from "./time.js";

export interface DecodeRules {
  /** Tenants whose messages are taken; a function where the set changes while the decoder lives. */
  readonly tenants: ReadonlySet<string> | (() => ReadonlySet<string>);
  /** How far a reading's time may be ahead of its arrival, microseconds. */
  readonly futureUs: number;
  /** Readings before it are `bad_timestamp`, microseconds since the epoch. */
  readonly earliestUs: number;
  /** Readings older than this at their arrival are `too_old`, microseconds; null keeps all. */
  readonly retentionUs: number | null;
  /** First segment of the tenants' MQTT topics. */
  readonly tenantPrefix: string;
  /** Partitions of `iot-data` and `device-commands`. */
  readonly partitions: number;
  /** By the payload's `schema` alone unless given. */
  readonly adapterOf?: ChooseAdapter;
}

/** Each answers null when all is well. */
export interface Judge {
  /**
   * Two actors must not hold one device, so a record counts only where its device's other records are.
   * @param key the record's key as text @param at the address of its device
   */
  readonly place: (
    record: LogRecord,
    key: string | null,
    at: string,
  ) => Fault | null;
  readonly tenant: (name: string) => Fault | null;
  /** The envelope's own time. */
  readonly arrival: (us: number) => Fault | null;
  /** A time that the device gave, in this field. */
  readonly time: (us: number, arrivalUs: number, field: string) => Fault | null;
  /** Whether rows of that time would be dropped at once. */
  readonly age: (us: number, arrivalUs: number, field: string) => Fault | null;
}

/** 2100-01-01: an arrival from here on is a producer's mistake (milliseconds written as seconds, say), not a time. */
const ARRIVAL_END_US = 4_102_444_800_000_000;
const US_PER_HOUR = 3_600_000_000;

export function createJudge(rules: DecodeRules): Judge {
  const { earliestUs, futureUs, retentionUs, partitions } = rules;
  const given = rules.tenants;
  const tenants = typeof given === "function" ? given : () => given;
  return {
    place(record, key, at) {
      if (key === null || record.key === null || key !== at)
        return fault(
          "wrong_partition",
          `the record's key is not its device's address ${at}`,
        );
      const own = partitionOf(record.key, partitions);
      return own === record.partition
        ? null
        : fault(
            "wrong_partition",
            `the record lies in partition ${record.partition}, its key belongs to ${own}`,
          );
    },
    tenant: (name) =>
      tenants().has(name)
        ? null
        : fault("unknown_tenant", `there is no tenant ${name}`),
    arrival: (us) =>
      us >= earliestUs && us < ARRIVAL_END_US
        ? null
        : fault(
            "bad_timestamp",
            "timestamp: expected the time of arrival in Unix seconds",
          ),
    time(us, arrivalUs, field) {
      if (us < earliestUs)
        return fault(
          "bad_timestamp",
          `${field}: lies before ${toIso(earliestUs)}`,
        );
      return us > arrivalUs + futureUs
        ? fault(
            "bad_timestamp",
            `${field}: more than ${futureUs / US_PER_HOUR} h ahead of its arrival`,
          )
        : null;
    },
    age: (us, arrivalUs, field) =>
      retentionUs !== null && us < arrivalUs - retentionUs
        ? fault(
            "too_old",
            `${field}: ${toIso(us)} is longer ago than raw readings are kept`,
          )
        : null,
  };
}
