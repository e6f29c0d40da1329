// What `npm start` may be told.
import { parseArgs } from "node:util";

export const HELP = `npm start: the whole system on this machine, from a fresh clone.

  npm start                    everything, with a simulated fleet that also
                               uploads a bulk file a minute (as user fleet)
  npm start -- --no-fleet      without the fleet, for devices of your own
  npm start -- --devices 1000 --rate 2000

Options
  --devices N   simulated devices that speak MQTT (200)
  --rate N      messages a second over the whole fleet (200)
  --no-fleet    no simulated devices
  --help        this text

It installs the npm packages and builds when needed, brings up the backing
services, applies the SQL, starts bridge, processor and gateway (and starts
again one that ends), and shows one live line. Ctrl-C stops all of it; the
next start continues with the same data, which is in .twinstream/.

Services: each is taken from its address in the environment when that is set
(KAFKA_BROKERS, REDIS_URL, DATABASE_URL, MQTT_URL), else from a Docker engine
that answers (deploy/compose), else run natively from Debian's packages and
Kafka's jars, on ports of their own. TWINSTREAM_SERVICES=native leaves Docker
out. Uploads are kept in a folder, or with STORAGE_TYPE=minio in a MinIO, which
MINIO_ENDPOINT gives, or Docker, or Go builds. HTTP_PORT and METRICS_PORT move the roles' ports.

Addresses: .twinstream/stack.env, for a shell:
  set -a; . .twinstream/stack.env; set +a
Logs: .twinstream/logs/
`;

/** @typedef {{ help: boolean, fleet: boolean, devices: number, rate: number }} Options */

/**
 * @param {string[]} argv
 * @returns {Options}
 * @throws with one line for people
 */
export function parseOptions(argv) {
  const { values } = parseArgs({
    args: argv,
    options: {
      help: { type: "boolean", short: "h", default: false },
      "no-fleet": { type: "boolean", default: false },
      devices: { type: "string", default: "200" },
      rate: { type: "string", default: "200" },
    },
  });
  const devices = Number(values.devices);
  if (!Number.isInteger(devices) || devices < 1)
    throw new Error(
      `--devices is a whole number above 0, not ${values.devices}`,
    );
  const rate = Number(values.rate);
  if (!(rate > 0) || rate === Infinity)
    throw new Error(`--rate is a number above 0, not ${values.rate}`);
  return { help: values.help, fleet: !values["no-fleet"], devices, rate };
}
