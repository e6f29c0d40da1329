/**
 * The least that brings messages from the MQTT broker onto the log: subscribed at QoS 1, what came within five milliseconds goes
 * in one request with acks=all. No session that outlives it, no deferred PUBACK, no window, nothing in case of failure.
 */
import { Kafka, logLevel, Partitioners } from "kafkajs";
import mqtt from "mqtt";

const { KAFKA_BROKERS, MQTT_URL } = process.env as Record<string, string>;
const LINGER_MS = 5;
const kafka = new Kafka({
  brokers: [KAFKA_BROKERS!],
  clientId: "bare",
  logLevel: logLevel.ERROR,
});
const producer = kafka.producer({
  createPartitioner: Partitioners.DefaultPartitioner,
});
await producer.connect();
let gathered: { key: string; value: string }[] = [];
let sending = Promise.resolve();

function send(): void {
  const messages = gathered;
  gathered = [];
  sending = sending.then(
    async () =>
      void (await producer.send({ topic: "iot-data", acks: -1, messages })),
  );
}

const client = await mqtt.connectAsync(MQTT_URL!, { protocolVersion: 5 });
client.on("message", (topic, payload) => {
  const id = topic.split("/")[1]!;
  const text = payload.toString();
  JSON.parse(text);
  if (
    gathered.push({
      key: id,
      value: `{"device_id":"${id}","payload":${text},"timestamp":${Date.now() / 1000}}`,
    }) === 1
  )
    setTimeout(send, LINGER_MS);
});
await client.subscribeAsync("devices/+/data", { qos: 1 });
process.once("SIGTERM", () => process.exit(0));
