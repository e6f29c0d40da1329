/**
 * The parts of kafkajs 2.2.4 that its public face does not show and this room needs. Another version is refused at start:
 * read this file before changing it.
 */
import { createRequire } from "node:module";
import type { Cluster, Kafka } from "kafkajs";
import { TwinstreamError } from "../../errors.js";
import { createRecordDecoder } from "./record-decoder.js";
import {
  batchEncoder,
  type EncodeBatch,
  encodeRecord,
} from "./record-encoder.js";

const VERSION = "2.2.4";
const require = createRequire(import.meta.url);

interface RequestQueue {
  readonly pending: readonly unknown[];
  /** Unix milliseconds. */
  readonly throttledUntil: number;
}
interface RequestQueuePrototype {
  scheduleCheckPendingRequests?: (this: RequestQueue) => void;
}
const repaired = new WeakSet<object>();

function refuseOtherVersion(): void {
  const { version } = require("kafkajs/package.json") as { version: string };
  if (version !== VERSION)
    throw new TwinstreamError(
      "INTERNAL",
      `the Kafka adapter is made for kafkajs ${VERSION} and found ${version}; see src/adapters/kafka/internals.ts`,
    );
}

/**
 * kafkajs re-arms a timer of 0 ms on each idle connection: 920 wake-ups a second measured, none with this
 * (tulios/kafkajs#1751). A throttled or waiting queue is checked as before.
 * @throws TwinstreamError INTERNAL on another version of kafkajs.
 */
export function quietIdleQueues(): void {
  refuseOtherVersion();
  const { prototype } = require("kafkajs/src/network/requestQueue") as {
    prototype: RequestQueuePrototype;
  };
  if (repaired.has(prototype)) return;
  const original = prototype.scheduleCheckPendingRequests!;
  prototype.scheduleCheckPendingRequests = function () {
    if (this.pending.length > 0 || this.throttledUntil > Date.now())
      original.call(this);
  };
  repaired.add(prototype);
}

interface Connection {
  readonly socket?: { destroy(error: Error): void };
}
interface ConnectionPrototype {
  send: (this: Connection, ...request: unknown[]) => Promise<unknown>;
}

/**
 * kafkajs gives a request up that got no answer in time, and sends the next over the same connection: one whose other end is
 * gone without a word (a firewall forgot it, a machine vanished) is used for ever. With this it goes with the request, as in
 * the Java client, and the next try makes a new one.
 */
export function leaveSilentConnections(): void {
  refuseOtherVersion();
  const Own = require("kafkajs/src/network/connection") as {
    prototype: ConnectionPrototype;
  };
  const { prototype } = Own;
  if (repaired.has(prototype)) return;
  const original = prototype.send;
  prototype.send = async function (...request) {
    try {
      return await original.apply(this, request);
    } catch (error) {
      if (error instanceof Error && error.name === "KafkaJSRequestTimeoutError")
        this.socket?.destroy(error);
      throw error;
    }
  };
  repaired.add(prototype);
}

const BATCH = "kafkajs/src/protocol/recordBatch";
let replaced = false;

/**
 * Records and their batches are encoded by `record-encoder.ts`, records decoded by `record-decoder.ts`. kafkajs loads its own with the first request
 * that needs them, so that the others have to stand in their place before.
 */
export function handleRecordsOurselves(): void {
  if (replaced) return;
  refuseOtherVersion();
  replace(`${BATCH}/record/v0`, encodeRecord);
  replace(`${BATCH}/record/v0/decoder`, createRecordDecoder());
  const batches = require(`${BATCH}/v0`) as { RecordBatch: EncodeBatch };
  const checksum = require(`${BATCH}/crc32C`) as (bytes: Buffer) => number;
  batches.RecordBatch = batchEncoder(checksum, batches.RecordBatch);
  replaced = true;
}

function replace(module: string, by: unknown): void {
  require(module);
  require.cache[require.resolve(module)]!.exports = by;
}

/** What a fetch answers for one partition. `messages` holds what was aborted and the markers of transactions, too. */
export interface FetchedPartition {
  readonly messages: readonly FetchedMessage[];
  readonly abortedTransactions: readonly {
    producerId: string;
    firstOffset: string;
  }[];
}
export interface FetchedMessage {
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: string;
  readonly attributes: number;
  readonly headers: Record<string, string>;
  readonly isControlRecord: boolean;
  /** The record batch it came in; absent in the message format before Kafka 0.11. */
  readonly batchContext?: {
    readonly firstOffset: string;
    readonly lastOffsetDelta: number;
  };
}

const filterAborted = require("kafkajs/src/consumer/filterAbortedMessages") as (
  fetched: FetchedPartition,
) => FetchedMessage[];

/** Without the markers of transactions, and without what they aborted. */
export function committedMessages(fetched: FetchedPartition): FetchedMessage[] {
  return filterAborted(fetched).filter(
    ({ isControlRecord }) => !isControlRecord,
  );
}

export const READ_COMMITTED = 1;

/**
 * A cluster of its own, not yet connected. kafkajs hands it, with the typed `findBroker` and `fetch`, to a consumer's
 * assigners alone; the consumer made for that here never connects nor joins its group.
 */
export function clusterOf(kafka: Kafka): Cluster {
  let captured: Cluster | undefined;
  kafka.consumer({
    groupId: "never-joined",
    allowAutoTopicCreation: false,
    partitionAssigners: [
      ({ cluster }) => {
        captured = cluster;
        return {
          name: "none",
          version: 0,
          assign: () => Promise.resolve([]),
          protocol: () => ({ name: "none", metadata: Buffer.alloc(0) }),
        };
      },
    ],
  });
  if (!captured)
    throw new TwinstreamError("INTERNAL", "kafkajs made no cluster");
  return captured;
}
