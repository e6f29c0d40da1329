/** An MQTT broker in memory with both ports on it; the conformance suites hold it to what the real one does. */
import type { DeviceRef } from "../../src/domain/device.js";
import type { CommandRequest } from "../../src/domain/message.js";
import { probeTopic } from "../../src/domain/names.js";
import { TwinstreamError } from "../../src/errors.js";
import type {
  CommandLink,
  InboundPacket,
  PacketSource,
} from "../../src/ports.js";

interface Entry {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  dup: boolean;
  /** Packet id on the present connection; null while not sent on it. */
  sentAs: number | null;
}

interface Session {
  readonly entries: Entry[];
  nextId: number;
}

export interface FakeBroker {
  /** A source with a session of its own under this client id. */
  readonly source: (clientId: string) => PacketSource;
  readonly link: () => CommandLink;
  readonly publish: (
    topic: string,
    payload: Buffer | string,
    qos?: 0 | 1,
    /** As the broker sends what it had kept. */
    retain?: boolean,
  ) => void;
  /** Breaks every connection; each comes back on its own. */
  readonly cut: () => void;
  /** Takes the broker away, and gives it back. */
  readonly down: () => void;
  readonly up: () => void;
  /** QoS 1 messages of a session without a PUBACK. */
  readonly unacknowledged: (clientId: string) => number;
  /** A device's subscription to its commands, and what came on it. */
  readonly subscribe: (address: string) => CommandRequest[];
}

interface Connection {
  lose(): void;
  regain(): void;
  deliver(): void;
  qos0(entry: Entry): void;
}

export function createFakeBroker(clock: () => number = Date.now): FakeBroker {
  const sessions = new Map<string, Session>();
  const connections = new Set<Connection>();
  const devices = new Map<string, CommandRequest[]>();
  let running = true;

  function source(clientId: string): PacketSource {
    let session: Session | undefined;
    let take: (packet: InboundPacket) => void = () => undefined;
    let connected = false;
    let held = false;
    let connection = 1;

    const echo = probeTopic(clientId);
    const toPacket = (entry: Entry, packetId: number): InboundPacket => ({
      topic: entry.topic,
      payload: entry.payload,
      qos: entry.qos,
      dup: entry.dup,
      retain: entry.retain,
      packetId,
      arrivalMs: clock(),
      connection,
      ...(entry.topic === echo && { probe: true as const }),
    });
    const me: Connection = {
      lose() {
        if (!connected) return;
        connected = false;
        connection += 1;
        for (const entry of session?.entries ?? []) {
          entry.dup = entry.dup || entry.sentAs !== null;
          entry.sentAs = null;
        }
      },
      regain() {
        connected = true;
        if (session) session.nextId = 1;
        me.deliver();
      },
      deliver() {
        for (const entry of session?.entries.slice() ?? []) {
          if (!connected || held) return;
          if (entry.sentAs !== null || !session) continue;
          entry.sentAs = entry.qos === 0 ? 0 : session.nextId++;
          if (entry.qos === 0)
            session.entries.splice(session.entries.indexOf(entry), 1);
          take(toPacket(entry, entry.sentAs));
        }
      },
      qos0(entry) {
        if (connected) session?.entries.push(entry);
      },
    };
    return {
      async start(onPacket) {
        if (!running) throw new TwinstreamError("BROKER_UNREACHABLE");
        take = onPacket;
        session = sessions.get(clientId) ?? { entries: [], nextId: 1 };
        sessions.set(clientId, session);
        connections.add(me);
        me.regain();
      },
      acknowledge(packets) {
        if (!connected || !session) return;
        for (const packet of packets) {
          if (packet.qos !== 1 || packet.connection !== connection) continue;
          const at = session.entries.findIndex(
            ({ sentAs }) => sentAs === packet.packetId,
          );
          if (at >= 0) session.entries.splice(at, 1);
        }
      },
      hold() {
        held = true;
      },
      release() {
        held = false;
        me.deliver();
      },
      connected: () => connected,
      probe(text) {
        if (!connected || !session) return;
        session.entries.push({
          topic: echo,
          payload: Buffer.from(text),
          qos: 1,
          retain: false,
          dup: false,
          sentAs: null,
        });
        me.deliver();
      },
      async stop() {
        me.lose();
        connections.delete(me);
      },
    };
  }

  function link(): CommandLink {
    let open = true;
    return {
      async send(device: DeviceRef, request: CommandRequest, now: number) {
        if (request.expiresUs / 1000 <= now)
          throw new TwinstreamError("BAD_REQUEST");
        if (!running || !open) throw new TwinstreamError("BROKER_UNREACHABLE");
        const inbox = devices.get(device.address);
        inbox?.push(request);
        return inbox ? "delivered" : "no_subscriber";
      },
      connected: () => running && open,
      async close() {
        open = false;
      },
    };
  }

  return {
    source,
    link,
    publish(topic, payload, qos = 1, retain = false) {
      const bytes = Buffer.from(payload);
      const entry = () => ({
        topic,
        payload: bytes,
        qos,
        retain,
        dup: false,
        sentAs: null,
      });
      if (qos === 1)
        for (const session of sessions.values()) session.entries.push(entry());
      for (const one of connections) {
        if (qos === 0) one.qos0(entry());
        one.deliver();
      }
    },
    cut() {
      for (const one of connections) one.lose();
      setImmediate(() => {
        if (running) for (const one of connections) one.regain();
      });
    },
    down() {
      running = false;
      for (const one of connections) one.lose();
    },
    up() {
      running = true;
      for (const one of connections) one.regain();
    },
    unacknowledged: (clientId) => sessions.get(clientId)?.entries.length ?? 0,
    subscribe(address) {
      const inbox: CommandRequest[] = [];
      devices.set(address, inbox);
      return inbox;
    },
  };
}
