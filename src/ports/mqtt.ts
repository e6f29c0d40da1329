/** What is asked of the MQTT broker. */
import type { DeviceRef } from "../domain/device.js";
import type { CommandRequest } from "../domain/message.js";

/** A packet from the broker. It stays unacknowledged until `acknowledge`. */
export interface InboundPacket {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly dup: boolean;
  readonly retain: boolean;
  /** 0 for QoS 0. */
  readonly packetId: number;
  readonly arrivalMs: number;
  /** The connection it came on; acknowledging after a reconnect does nothing. */
  readonly connection: number;
  /** The user property `traceparent` as the device sent it (MQTT 5); only where traces are wanted. */
  readonly traceparent?: string;
  /** Our own `probe`, come back. */
  readonly probe?: true;
}

export interface PacketSource {
  /** Connects, resumes or makes the session, subscribes. Resolves once subscribed. */
  start(onPacket: (packet: InboundPacket) => void): Promise<void>;
  /** Sends the PUBACKs of these packets, in the order given, dropping those of an earlier connection. */
  acknowledge(packets: readonly InboundPacket[]): void;
  /** Stop reading from the socket, and go on: the back-pressure where the broker knows no receive maximum. */
  hold(): void;
  release(): void;
  connected(): boolean;
  /**
   * Says something to itself through the broker: it comes back as a packet, marked `probe`, after all that the broker held
   * for this session before. Nothing happens while there is no connection, or an earlier one is still on its way to the broker.
   */
  probe(text: string): void;
  /** Disconnects and leaves the session with the broker. */
  stop(): Promise<void>;
}

/** The broker's answer to a command. */
export type Delivery = "delivered" | "no_subscriber";

export interface CommandLink {
  /** Publishes a command to its device, QoS 1, expiring with it; resolves with the broker's answer. */
  send(
    device: DeviceRef,
    request: CommandRequest,
    now: number,
  ): Promise<Delivery>;
  connected(): boolean;
  close(): Promise<void>;
}
