/**
 * The bridge's side of MQTT: a persistent session under a fixed client id, and PUBACKs that go out only when asked for.
 *
 * mqtt.js sends a PUBACK once `handleMessage` calls back without an error, and handles nothing else until it calls back:
 * waiting in there for the log gave 99 messages/s. So `handleMessage` calls back at once with an error, which makes mqtt.js
 * go on without a PUBACK (its own tests hold it to that), and `acknowledge` writes the PUBACKs of a whole batch to the
 * socket as one buffer. A PUBACK sent by mqtt.js itself would be a message lost at the next crash: it is watched for.
 *
 * An acknowledgement never crosses a reconnect: a packet id means another message on the next connection. A packet carries
 * the number of its connection, which goes up when a connection closes; what the broker got no PUBACK for comes again.
 */
import { type IPublishPacket, MqttClient } from "mqtt";
import { TwinstreamError, reasonOf } from "../../errors.js";
import { probeTopic } from "../../domain/names.js";
import type { Clock, InboundPacket, PacketSource } from "../../ports.js";
import { createLeftovers } from "./leftovers.js";
import { subscriptions } from "./filters.js";
import {
  KEEPALIVE_SECONDS,
  type MqttSettings,
  connectMqtt,
  disconnectMqtt,
  unreachable,
} from "./connect.js";

export interface PacketSourceSettings extends Omit<MqttSettings, "role"> {
  /** See `topicFilters`. */
  readonly filters: readonly string[];
  /** MQTT_SHARE_GROUP. */
  readonly shareGroup?: string | undefined;
  readonly qos: 0 | 1;
  /** Messages the broker may send ahead of their PUBACKs (MQTT 5), 1 to 65,535. */
  readonly receiveMaximum: number;
  readonly clock: Clock;
  /** Whether a message's user property `traceparent` is looked at. */
  readonly traced?: boolean;
  /** 30 unless told. */
  readonly keepaliveSeconds?: number;
}

const ROLE = "bridge";
/** The session never expires: what a device was told is safe waits for the bridge however long it is away. */
const NEVER = 0xffff_ffff;
const PUBACK_BYTES = 4;
const LATER = new Error("acknowledged later");
/** Versions whose `handleMessage` is known to behave as described above. */
const KNOWN_VERSION = /^5\.(1[6-9]|[2-9]\d)\./;

type Parked = { packet: InboundPacket; goOn: (error?: Error) => void };

/** @throws TwinstreamError INTERNAL when the MQTT library is one whose acknowledgements were not tried. */
export function createPacketSource(
  settings: PacketSourceSettings,
): PacketSource {
  if (!KNOWN_VERSION.test(String(MqttClient.VERSION)))
    throw new TwinstreamError(
      "INTERNAL",
      `mqtt ${String(MqttClient.VERSION)} was never tried with deferred acknowledgements; run test/integration/mqtt*.test.ts and widen KNOWN_VERSION`,
    );
  const keepalive = settings.keepaliveSeconds ?? KEEPALIVE_SECONDS;
  let client: MqttClient | null = null;
  let connection = 1;
  let held = false;
  let stopping = false;
  let parked: Parked | null = null;
  let pinging: NodeJS.Timeout | undefined;
  const wanted = subscriptions(settings.filters, settings.shareGroup);
  const leftovers = createLeftovers(settings);
  let take: (packet: InboundPacket) => void = () => undefined;
  let probing = false;
  const echo = probeTopic(settings.clientId);
  let refuseStart: (error: Error) => void = () => undefined;

  function start(onPacket: (packet: InboundPacket) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      take = onPacket;
      refuseStart = reject;
      const mine = connectMqtt(
        { ...settings, role: ROLE, chosenId: settings.clock },
        {
          clean: false,
          keepalive,
          properties: {
            sessionExpiryInterval: NEVER,
            receiveMaximum: settings.receiveMaximum,
          },
        },
      );
      client = mine;
      mine.handleMessage = (packet, goOn) => {
        // What was parsed but not handled when the connection closed comes again on the next one, under another id.
        if (!mine.connected || stopping) return goOn(LATER);
        const inbound: InboundPacket = {
          topic: packet.topic,
          payload: packet.payload as Buffer,
          qos: packet.qos,
          dup: packet.dup,
          retain: packet.retain,
          packetId: packet.qos === 0 ? 0 : (packet.messageId ?? 0),
          arrivalMs: settings.clock(),
          connection,
          ...(packet.topic === echo && { probe: true as const }),
          ...(settings.traced && traceOf(packet)),
        };
        if (!inbound.probe) leftovers.look(mine, packet.topic);
        if (held) {
          parked = { packet: inbound, goOn };
          return;
        }
        take(inbound);
        goOn(LATER);
      };
      mine.on("packetsend", (packet) => {
        if (packet.cmd !== "puback") return;
        settings.observer.emit({
          type: "failure",
          where: "mqtt packet source",
          error: `the MQTT library acknowledged packet ${packet.messageId} by itself: messages may be lost in a crash`,
        });
      });
      mine.on("close", () => {
        connection += 1;
        parked = null;
      });
      let subscribed = false;
      mine.on("connect", (connack) => {
        // Once in the life of a process even on a resumed session: its filters may be those of an older configuration.
        if (subscribed && connack.sessionPresent) return;
        leftovers.resumed(connack.sessionPresent);
        subscribe(mine).then(
          () => {
            subscribed = true;
            resolve();
          },
          (error: unknown) => {
            // The next connection subscribes.
            if (!mine.connected || stopping) return;
            settings.observer.emit({
              type: "failure",
              where: "mqtt subscription",
              error: reasonOf(error),
            });
            // Try again on a new connection, not in a tight loop: the reconnect has its period.
            mine.stream.destroy();
          },
        );
      });
    });
  }

  /** rh 1: retained messages only with a subscription that is new to the session, where the broker speaks MQTT 5. */
  async function subscribe(to: MqttClient): Promise<void> {
    const granted = await to.subscribeAsync(wanted, {
      qos: settings.qos,
      rh: 1,
    });
    const weak = granted.filter(({ qos }) => qos < settings.qos);
    await leftovers.clear(to);
    if (weak.length > 0)
      throw new Error(
        `the broker grants ${weak.map(({ topic }) => topic).join(", ")} at QoS 0 only, where a message may be lost`,
      );
    await hearMyself(to);
  }

  /** Apart from the devices' topics: a broker that refuses this one must not keep their messages away. */
  async function hearMyself(to: MqttClient): Promise<void> {
    try {
      await to.subscribeAsync(echo, { qos: 1, rh: 2 });
    } catch (error) {
      if (!to.connected) throw error;
      settings.observer.emit({
        type: "failure",
        where: `mqtt subscription to ${echo}`,
        error: reasonOf(error),
      });
    }
  }

  function probe(text: string): void {
    if (client === null || !client.connected || probing || stopping) return;
    probing = true;
    client.publish(echo, text, { qos: 1 }, (error) => {
      probing = false;
      if (error && !stopping)
        settings.observer.emit({
          type: "failure",
          where: `mqtt publish to ${echo}`,
          error: reasonOf(error),
        });
    });
  }

  function acknowledge(packets: readonly InboundPacket[]): void {
    if (client === null || !client.connected || client.disconnecting) return;
    const pubacks = Buffer.allocUnsafe(packets.length * PUBACK_BYTES);
    let end = 0;
    for (const packet of packets) {
      if (packet.qos !== 1 || packet.connection !== connection) continue;
      // Type, remaining length, packet id; without a reason code it says "success" in MQTT 3.1.1 and 5 alike.
      end = pubacks.writeUInt32BE(0x4002_0000 + packet.packetId, end);
    }
    if (end > 0) client.stream.write(pubacks.subarray(0, end));
  }

  /**
   * Leaves the next packet unhandled, so that mqtt.js stops reading and TCP tells the broker. PINGRESPs are not read either:
   * the connection is kept by pinging without waiting for answers; a dead one shows itself by the failing write.
   */
  function hold(): void {
    if (held) return;
    held = true;
    pinging = setInterval(() => {
      if (client === null || !client.connected) return;
      client.sendPing();
      client.reschedulePing(true);
    }, keepalive * 500);
  }

  function release(): void {
    if (!held) return;
    held = false;
    clearInterval(pinging);
    const waiting = parked;
    if (waiting === null) return;
    parked = null;
    take(waiting.packet);
    waiting.goOn(LATER);
  }

  async function stop(): Promise<void> {
    stopping = true;
    clearInterval(pinging);
    // A socket that is not read does not close either.
    parked?.goOn(LATER);
    parked = null;
    refuseStart(unreachable("stopped before the subscription stood"));
    if (client !== null) await disconnectMqtt(client);
  }

  return {
    start,
    acknowledge,
    hold,
    release,
    connected: () => client?.connected ?? false,
    probe,
    stop,
  };
}

/** A user property may stand there several times: the first counts. */
function traceOf({ properties }: IPublishPacket): { traceparent?: string } {
  const given = properties?.userProperties?.["traceparent"];
  const traceparent = Array.isArray(given) ? given[0] : given;
  return traceparent === undefined ? {} : { traceparent };
}
