/** The services die, or stop, and come back: with their data, with a second less of it, or with none. */
import { readdirSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  emptyRedis,
  instantIn,
  killService,
  least,
  SEEN,
  stopService,
} from "../acts.js";
import type { Ground } from "../ground.js";
import { type Act, scenarios } from "../scenario.js";

/** Redis writes its file once a second (appendfsync everysec): a machine that dies loses what is not in it yet. */
const LOST_MS = 1000;

function appendFile(ground: Ground): string {
  const folder = join(ground.stack.services.redis.folder, "appendonlydir");
  const name = readdirSync(folder).find((file) => file.endsWith(".incr.aof"));
  if (name === undefined) throw new Error(`${folder} has no .incr.aof`);
  return join(folder, name);
}

const withoutTheLastSecond = (act: { at: number; down: number }): Act => ({
  at: act.at,
  to: "redis",
  does: `kill -9 of redis, its file as it was a second before, down for ${act.down} s`,
  async run(ground) {
    const file = appendFile(ground);
    const { size } = statSync(file);
    await pause(LOST_MS);
    const lost = killService("redis", {
      at: act.at,
      down: act.down,
      meanwhile() {
        ground.count("bytes taken from redis", statSync(file).size - size);
        truncateSync(file, size);
      },
    });
    await lost.run(ground);
  },
});

export const SERVICES = scenarios(
  {
    name: "kill-redis",
    does: "kill -9 of Redis with its data, twice",
    expects: "lanes wait and commit nothing; then the view goes on, whole",
    schedule: (draw, { seconds }) =>
      [0.2, 0.6].map((part) =>
        killService("redis", {
          at: instantIn(draw, part * seconds, (part + 0.15) * seconds),
          down: 4,
        }),
      ),
    missed: least(SEEN.kills, 2),
  },
  {
    name: "redis-loses-a-second",
    does: "kill -9 of Redis, which comes back as it was a second before",
    expects:
      "what it forgot is seen by the mark, and put back from the log: last state and history whole",
    schedule: (draw, { seconds }) => [
      withoutTheLastSecond({
        at: instantIn(draw, 0.3 * seconds, 0.5 * seconds),
        down: 2,
      }),
    ],
    missed: least("bytes taken from redis", 1),
  },
  {
    name: "redis-empty",
    does: "kill -9 of Redis, which comes back with nothing",
    expects: "last state and history are made again from the log",
    schedule: (draw, { seconds }) => [
      killService("redis", {
        at: instantIn(draw, 0.3 * seconds, 0.5 * seconds),
        down: 2,
        meanwhile: emptyRedis,
        what: "all its data removed",
      }),
    ],
    missed: least(SEEN.kills, 1),
  },
  {
    name: "kill-postgres",
    does: "kill -9 of PostgreSQL and all its backends, twice",
    expects:
      "a flush whose outcome is unknown is told by the fence; memory stays flat, nothing is lost or doubled",
    roles: { gateway: 1, worker: 1 },
    commands: true,
    uploads: true,
    schedule: (draw, { seconds }) =>
      [0.2, 0.6].map((part) =>
        killService("postgres", {
          at: instantIn(draw, part * seconds, (part + 0.15) * seconds),
          down: 4,
        }),
      ),
    missed: least(SEEN.kills, 2),
  },
  {
    name: "kill-kafka",
    does: "kill -9 of the log, twice",
    expects:
      "the bridge acknowledges nothing meanwhile; consumers come back; broker loss is 0",
    roles: { gateway: 1, worker: 1 },
    commands: true,
    uploads: true,
    schedule: (draw, { seconds }) =>
      [0.15, 0.6].map((part) =>
        killService("kafka", {
          at: instantIn(draw, part * seconds, (part + 0.15) * seconds),
          down: 5,
        }),
      ),
    missed: least(SEEN.kills, 2),
  },
  {
    name: "kill-mosquitto",
    does: "kill -9 of the MQTT broker, twice",
    expects:
      "what the broker loses is stated apart; everything that reached the log is stored once",
    brokerLoss: "stated",
    schedule: (draw, { seconds }) =>
      [0.25, 0.6].map((part) =>
        killService("mqtt", {
          at: instantIn(draw, part * seconds, (part + 0.15) * seconds),
          down: 3,
        }),
      ),
    missed: least(SEEN.kills, 2),
  },
  {
    name: "stop-mosquitto",
    does: "clean stop of the MQTT broker, twice",
    expects: "broker loss is 0",
    schedule: (draw, { seconds }) =>
      [0.25, 0.6].map((part) =>
        stopService("mqtt", {
          at: instantIn(draw, part * seconds, (part + 0.15) * seconds),
          down: 3,
        }),
      ),
    missed: least(SEEN.stops, 2),
  },
  {
    name: "kill-minio",
    does: "kill -9 of the object store, twice, under uploads",
    expects:
      "uploads get 503 with Retry-After or no answer, and every one that got its 202 is stored",
    roles: { gateway: 1, worker: 1 },
    services: ["minio"],
    uploads: true,
    schedule: (draw, { seconds }) =>
      [0.2, 0.6].map((part) =>
        killService("minio", {
          at: instantIn(draw, part * seconds, (part + 0.15) * seconds),
          down: 4,
        }),
      ),
    missed: least(SEEN.kills, 2),
  },
);
