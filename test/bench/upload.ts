/**
 * How long an upload of 100 MB of JSON takes until it is acknowledged, and how much a gateway process grows meanwhile, on each
 * object store that can be had here. Against the same put without HTTP and without a gateway, in turn: a gzipped body hashed
 * and inflated beside the put, a plain one compressed at level 1 on its way to it. Fails above the limits.
 *
 *   npm run bench:upload -- --megabytes 100 --rounds 5
 */
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import {
  createReadStream,
  createWriteStream,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { request as openRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { text } from "node:stream/consumers";
import { createGunzip, createGzip } from "node:zlib";
import {
  createObjectStore,
  type ObjectStoreSettings,
} from "../../src/adapters/objects/store.js";
import { objectKey } from "../../src/domain/claim-check.js";
import type { ObjectStore } from "../../src/ports.js";
import { whyNoMinio, withMinio } from "../support/minio.js";
import {
  freePort,
  type RoleProcess,
  runCommand,
  startRole,
} from "../support/roles.js";
import { withOwnStack } from "../support/services.js";
import { openBench } from "./frame/bench.js";

const bench = openBench("upload", { megabytes: "100", rounds: "5", node: "" });
const { say, settings: asked } = bench;
const rounds = bench.number("rounds");

/** What is asked for: times as long as the bare put; and what a run may not pass on a machine that does other things beside it. */
const GOAL = { times: 1.3, growthMib: 64 };
const MOST = { times: 2, growthMib: 96 };
const READ_BYTES = 256 * 1024;
/** As the gateway has them: zlib's default of 16 KiB makes four times the steps. */
const ZLIB = { chunkSize: 64 * 1024 };
const TYPES = ["temperatura", "pressao", "umidade", "corrente"];

/**
 * Equipments with a hundred readings each, until the file is large enough: values and times that a device might send, which
 * gzip makes a quarter of.
 */
function* equipments(bytes: number): Generator<string> {
  let seed = 1;
  const random = (most: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % most;
  };
  const startMs = Date.now() - 86_400_000;
  let written = 0;
  for (let n = 0; written < bytes; n++) {
    const sensor = Array.from({ length: 100 }, () => ({
      sensor_uuid: `sensor-${random(1e7)}`,
      sensor_tipo: TYPES[random(TYPES.length)],
      valor: random(1e7) / 1000,
      timestamp: new Date(startMs + n * 1000 + random(1e6)).toISOString(),
    }));
    const one = `${n === 0 ? "[" : ","}${JSON.stringify({ equip_uuid: randomUUID(), equip_nome: `Bench ${n}`, sensor })}`;
    written += one.length;
    yield one;
  }
  yield "]";
}

interface Kind {
  readonly name: "gzip" | "plain";
  readonly headers: Readonly<Record<string, string>>;
  /** The least that keeps such a body. */
  bare(body: Readable): Readable;
}

/** Each chunk passes once it has been hashed and inflated. */
async function* besideHashAndInflate(body: Readable): AsyncGenerator<Buffer> {
  const hash = createHash("sha256");
  const gunzip = createGunzip(ZLIB).resume();
  for await (const chunk of body) {
    hash.update(chunk as Buffer);
    if (!gunzip.write(chunk)) await once(gunzip, "drain");
    yield chunk as Buffer;
  }
  gunzip.end();
  await finished(gunzip);
  hash.digest();
}
const KINDS: readonly Kind[] = [
  {
    name: "gzip",
    headers: {
      "content-type": "application/json",
      "content-encoding": "gzip",
    },
    bare: (body) =>
      Readable.from(besideHashAndInflate(body), { objectMode: false }),
  },
  {
    name: "plain",
    headers: { "content-type": "application/json" },
    bare: (body) => body.pipe(createGzip({ ...ZLIB, level: 1 })),
  },
];

interface Place {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
}
const fileOf = ({ folder }: Place, { name }: Kind): string =>
  join(folder, `body.${name}`);
const read = (file: string): Readable =>
  createReadStream(file, { highWaterMark: READ_BYTES });

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await work();
  return (performance.now() - beganMs) / 1000;
}

async function upload(url: string, kind: Kind, file: string): Promise<void> {
  const sent = openRequest(url, { method: "POST", headers: kind.headers });
  const answered = once(sent, "response");
  await pipeline(read(file), sent);
  const [response] = (await answered) as [import("node:http").IncomingMessage];
  const body = await text(response);
  if (response.statusCode !== 202) throw new Error(body);
}

async function put(objects: ObjectStore, kind: Kind, file: string) {
  const key = objectKey(Date.now(), randomUUID());
  await objects.put(key, kind.bare(read(file)), {});
  await objects.remove(key);
}

/** MiB of a process' memory, from /proc: `VmRSS` now, `VmHWM` at its most. */
function memoryOf({ pid }: RoleProcess, field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)![1]) / 1024;
}

async function measure(place: Place, settings: ObjectStoreSettings) {
  const port = await freePort();
  const env = { ...place.env, ...settings, HTTP_PORT: String(port) };
  const migrated = await runCommand(["migrate"], env);
  if (migrated.code !== 0) throw new Error(migrated.output);
  const url = `http://127.0.0.1:${port}/api/v1/telemetry/bulk`;
  const objects = createObjectStore(settings, () => undefined);
  const gateway = await startRole("gateway", env, {
    node: asked.node === "" ? [] : asked.node.split(" "),
  });
  try {
    await gateway.ready();
    for (const kind of KINDS) {
      const file = fileOf(place, kind);
      const beforeMib = memoryOf(gateway, "VmRSS");
      // Its highest point counts from now on.
      writeFileSync(`/proc/${gateway.pid}/clear_refs`, "5");
      const bare: number[] = [];
      const whole: number[] = [];
      for (let n = 0; n <= rounds; n++) {
        const bareSeconds = await secondsOf(() => put(objects, kind, file));
        const seconds = await secondsOf(() => upload(url, kind, file));
        // The first warms both up.
        if (n === 0) continue;
        bare.push(bareSeconds);
        whole.push(seconds);
      }
      const growthMib = memoryOf(gateway, "VmHWM") - beforeMib;
      const of = `${asked.megabytes} MB, ${kind.name}, ${settings.STORAGE_TYPE}`;
      bench.figure({
        of,
        what: "s until acknowledged, by the bare put",
        less: true,
        runs: whole,
        bare,
        goalRatio: GOAL.times,
        floorRatio: MOST.times,
      });
      bench.figure({
        of,
        what: "MiB that the gateway grew by",
        less: true,
        runs: [growthMib],
        goal: GOAL.growthMib,
        floor: MOST.growthMib,
      });
    }
  } finally {
    await gateway.stop();
    await objects.close();
  }
}

await withOwnStack(["kafka", "redis", "postgres"], async (stack) => {
  const folder = await mkdtemp(join(tmpdir(), "twinstream-bench-"));
  const place: Place = { folder, env: { ...stack.env, LOG_LEVEL: "warn" } };
  const [gzipped, plain] = KINDS.map((kind) => fileOf(place, kind));
  try {
    await pipeline(
      Readable.from(equipments(bench.number("megabytes") * 1e6)),
      createWriteStream(plain!),
    );
    await pipeline(read(plain!), createGzip(), createWriteStream(gzipped!));
    const mb = (file: string) => Math.round(statSync(file).size / 1e6);
    say(
      `a body of ${mb(plain!)} MB, ${mb(gzipped!)} MB as gzip; ${rounds} rounds in turn`,
    );
    const unused = {
      MINIO_ENDPOINT: "http://127.0.0.1:1",
      MINIO_ACCESS_KEY: "unused",
      MINIO_SECRET_KEY: "unused",
      MINIO_BUCKET: "unused",
    };
    await measure(place, {
      ...unused,
      STORAGE_TYPE: "filesystem",
      STORAGE_PATH: join(folder, "objects"),
    });
    const why = await whyNoMinio();
    if (why === null)
      await withMinio(({ settings }) => measure(place, settings));
    else say(`minio: not measured: ${why}`);
    bench.end();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
