/**
 * The least that answers the reads of reads.ts: Fastify and ioredis with their defaults, the same questions to Redis, and
 * no log-in, limits, validation, headers or deadlines. A process of its own, like the gateway.
 */
import fastify from "fastify";
import { Redis } from "ioredis";
import { historyKey, lastStateKey, onlineKey } from "../../src/domain/names.js";

const redis = new Redis(process.env["REDIS_URL"]!);
const app = fastify();
const online = onlineKey("default");
interface Asked {
  Params: { id: string };
  Querystring: { limit: string };
}

app.get<Asked>("/devices/:id", async ({ params: { id } }, reply) => {
  const [seen, [payload, timestamp]] = await Promise.all([
    redis.zscore(online, id),
    redis.hmget(lastStateKey(id), "payload", "timestamp"),
  ]);
  return reply
    .type("application/json")
    .send(
      `{"device_id":"${id}","last_seen":${seen},"timestamp":${timestamp},"payload":${payload}}`,
    );
});
app.get<Asked>("/devices/:id/history", async ({ params, query }, reply) => {
  const messages = await redis.zrangebyscore(
    historyKey(params.id),
    Date.now() / 1000 - 18_000,
    "+inf",
    "LIMIT",
    0,
    query.limit,
  );
  return reply
    .type("application/json")
    .send(`{"device_id":"${params.id}","messages":[${messages.join(",")}]}`);
});
app.get<Asked>("/devices", async ({ query }) => {
  const flat = await redis.zrangebyscore(
    online,
    Date.now() / 1000 - 3600,
    "+inf",
    "WITHSCORES",
    "LIMIT",
    0,
    query.limit,
  );
  const devices = [];
  for (let i = 0; i + 1 < flat.length; i += 2)
    devices.push({
      device_id: flat[i],
      tenant: "default",
      online: true,
      last_seen: new Date(Number(flat[i + 1]) * 1000).toISOString(),
      cause: null,
    });
  return { devices };
});
app.get("/ready", async () => ({}));
process.once("SIGTERM", () => {
  redis.disconnect();
  void app.close();
});
await app.listen({ port: Number(process.env["METRICS_PORT"]) });
