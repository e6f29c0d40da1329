// Does a service answer in its own protocol? One hand-made packet each, so
// that it works before any npm package is there.
import { connect } from "node:net";

const TIMEOUT_MS = 1_000;

/**
 * Sends a packet and gives back the first bytes that come.
 * @param {number} port on 127.0.0.1 @param {Uint8Array} packet
 * @returns {Promise<Buffer>} empty: refused, closed or silent
 */
function ask(port, packet) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(packet));
    const nothing = () => {
      socket.destroy();
      resolve(Buffer.alloc(0));
    };
    socket.setTimeout(TIMEOUT_MS, nothing);
    socket.once("data", (answer) => {
      resolve(answer);
      socket.destroy();
    });
    socket.once("error", nothing);
    socket.once("close", nothing);
  });
}

/**
 * Whether anything accepts a connection there.
 * @param {string} host @param {number} port @param {number} [timeoutMs]
 * @returns {Promise<boolean>}
 */
export function accepts(host, port, timeoutMs = 5_000) {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    const done = (/** @type {boolean} */ yes) => {
      socket.destroy();
      resolve(yes);
    };
    socket.setTimeout(timeoutMs, () => done(false));
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}

/** ApiVersions v0 → an answer with error code 0. @param {number} port */
export async function kafkaAnswers(port) {
  const packet = Buffer.from(
    "0000000a" + "00120000" + "00000001" + "0000",
    "hex",
  );
  const answer = await ask(port, packet);
  return answer.length >= 10 && answer.readInt16BE(8) === 0;
}

/** PING → +PONG; not while it loads its file. @param {number} port */
export async function redisAnswers(port) {
  const answer = await ask(port, Buffer.from("PING\r\n"));
  return answer.toString().startsWith("+PONG");
}

/** CONNECT (MQTT 3.1.1, clean session) → CONNACK. @param {number} port */
export async function mqttAnswers(port) {
  const id = `probe-${process.pid}`;
  const head = [0x10, 12 + id.length, 0, 4, 77, 81, 84, 84, 4, 2, 0, 5];
  const packet = Buffer.from([...head, 0, id.length, ...Buffer.from(id)]);
  const answer = await ask(port, packet);
  return answer[0] === 0x20;
}

/**
 * A start-up message → an authentication request. While it starts or recovers
 * PostgreSQL answers with an error instead.
 * @param {number} port @param {string} user @param {string} database
 */
export async function postgresAnswers(port, user, database) {
  const words = Buffer.from(`user\0${user}\0database\0${database}\0\0`);
  const packet = Buffer.alloc(8 + words.length);
  packet.writeInt32BE(packet.length, 0);
  packet.writeInt32BE(0x30000, 4);
  words.copy(packet, 8);
  const answer = await ask(port, packet);
  return answer.toString("latin1", 0, 1) === "R";
}
