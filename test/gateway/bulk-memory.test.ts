/** A large upload passes through the gateway without staying in it. */
import { request as openRequest } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GZIP, JSON_TYPE, withUploads } from "./bulk-rig.js";

const memory = suite("memory of large uploads");

const MIB = 1024 * 1024;
const UPLOAD_BYTES = 200 * MIB;
/** What the gateway may grow by during an upload; the client runs in this process too. */
const MOST_GROWTH = 64 * MIB;

/** About so many bytes of equipments, a few KB at a time. */
function* text(bytes: number): Generator<Buffer> {
  let made = 1;
  yield Buffer.from("[");
  for (let e = 0; made < bytes; e++) {
    const sensor = Array.from({ length: 40 }, (_, r) => ({
      sensor_uuid: `sensor-${r}`,
      sensor_tipo: "temperatura",
      valor: ((e * 7919 + r * 104_729) % 1_000_003) / 1000,
      timestamp: "2026-01-15T09:59:00Z",
    }));
    const one = JSON.stringify({ equip_uuid: `equipment-${e}`, sensor });
    const piece = Buffer.from(e === 0 ? one : `,${one}`);
    made += piece.length;
    yield piece;
  }
  yield Buffer.from("]");
}

for (const { name, headers, stages } of [
  { name: "plain", headers: JSON_TYPE, stages: () => [] },
  {
    name: "gzip",
    headers: GZIP,
    stages: () => [createGzip({ level: 1 })],
  },
])
  memory(`200 MB of ${name} pass with little memory`, () =>
    withUploads(
      async ({ url, objects }) => {
        const send = async (bytes: number): Promise<void> => {
          const sent = openRequest(url, { method: "POST", headers });
          const answered = new Promise<number>((resolve, reject) => {
            sent.on("error", reject);
            sent.on("response", (response) => {
              response.resume();
              resolve(response.statusCode ?? 0);
            });
          });
          const body = Readable.from(text(bytes), { objectMode: false });
          await pipeline([body, ...stages(), sent]);
          assert.is(await answered, 202);
        };
        // What is made once (code, buffers, connections) is no growth.
        await send(20 * MIB);
        const before = process.memoryUsage.rss();
        let most = before;
        const looking = setInterval(() => {
          most = Math.max(most, process.memoryUsage.rss());
        }, 20);
        const startedMs = performance.now();
        await send(UPLOAD_BYTES);
        clearInterval(looking);
        const seconds = (performance.now() - startedMs) / 1000;
        const grown = (most - before) / MIB;
        const stored = [...objects.kept.values()].at(-1)!.bytes / MIB;
        console.log(
          `${name}: 200 MiB, ${stored.toFixed(0)} MiB stored, in ${seconds.toFixed(1)} s; RSS ${(before / MIB).toFixed(0)} MiB + ${grown.toFixed(0)} MiB`,
        );
        assert.ok(grown * MIB < MOST_GROWTH, `RSS grew by ${grown} MiB`);
      },
      {},
      false,
    ),
  );

memory.run();
