// Apache Kafka, one node in KRaft mode, from its jars.
import { randomBytes } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withLock } from "../stack/lock.mjs";
import { kafkaAnswers } from "../stack/probe.mjs";
import { run } from "../stack/processes.mjs";
import { lastLines, since } from "../stack/say.mjs";
import { cacheHome, giveFile, shortHash } from "./place.mjs";
import { findJava, findProgram } from "./programs.mjs";

const POM = fileURLToPath(new URL("pom.xml", import.meta.url));
const LOG4J = fileURLToPath(new URL("log4j2.properties", import.meta.url));
const pom = readFileSync(POM, "utf8");
const VERSION = /<kafka\.version>(.*?)</.exec(pom)?.[1] ?? "";

/** @type {import("./service.mjs").Definition} */
export const kafka = {
  name: "kafka",
  setting: "KAFKA_BROKERS",
  portNames: ["kafka", "kafka-controller"],
  accounts: ["nobody"],
  stopSignal: "SIGTERM",

  async missing({ account, cacheDir }) {
    return [
      ...((await findJava()) ? [] : ["java"]),
      ...(existsSync(jarsFolder(cacheDir, account)) || findProgram("mvn")
        ? []
        : ["maven"]),
    ];
  },

  async prepare(context) {
    const { folder, account } = context;
    await bringJars(context);
    for (const [name, text] of [
      ["server.properties", settings(context)],
      ["log4j2.properties", readFileSync(LOG4J, "utf8")],
    ]) {
      const file = join(folder, name ?? "");
      writeFileSync(file, text ?? "", { mode: 0o600 });
      giveFile(account, file);
    }
    if (!existsSync(join(folder, "log", "meta.properties")))
      await format(context);
    return `Apache Kafka ${VERSION}`;
  },

  async command(context) {
    return java(context, ["-Xms256m", "-Xmx512m"], "kafka.Kafka", [
      "server.properties",
    ]);
  },

  url: ({ ports }) => `127.0.0.1:${ports.kafka}`,
  answers: ({ ports }) => kafkaAnswers(ports.kafka ?? 0),
};

/**
 * @param {import("./service.mjs").Context} context
 * @param {string[]} options @param {string} main @param {string[]} args
 */
async function java({ folder, cacheDir, account }, options, main, args) {
  return {
    file: (await findJava()) ?? "java",
    args: [
      ...options,
      "-XX:+ExitOnOutOfMemoryError",
      "-XX:-UsePerfData", // no file of its own under /tmp
      `-XX:ErrorFile=${join(folder, "java-crash.log")}`,
      "-Djava.awt.headless=true",
      `-Dlog4j2.configurationFile=${join(folder, "log4j2.properties")}`,
      "-cp",
      join(jarsFolder(cacheDir, account), "*"),
      main,
      ...args,
    ],
  };
}

/** Writes the storage's first files: a cluster id, made once for this data. */
async function format(/** @type {import("./service.mjs").Context} */ context) {
  const { folder, account, signal } = context;
  const id = randomBytes(16).toString("base64url").replace(/^-/, "A");
  const { file, args } = await java(
    context,
    ["-Xmx128m", "-XX:TieredStopAtLevel=1"],
    "kafka.tools.StorageTool",
    ["format", "-t", id, "-c", "server.properties", "--ignore-formatted"],
  );
  const { code, output } = await run(file, args, {
    cwd: folder,
    signal,
    ...(account && { uid: account.uid, gid: account.gid }),
  });
  if (code !== 0)
    throw new Error(
      `kafka: its storage could not be formatted:\n${lastLines(output)}`,
    );
}

/**
 * The jars' folder in the cache, named by version and list of dependencies.
 * @param {string | undefined} cacheDir
 * @param {import("./place.mjs").Account} account that must reach it
 */
function jarsFolder(cacheDir, account) {
  const name = `kafka-${VERSION}-${shortHash(pom)}`;
  return join(cacheHome(cacheDir, account), name);
}

/** Brings Kafka's jars from Maven Central, once for all stacks. */
async function bringJars(
  /** @type {import("./service.mjs").Context} */ {
    cacheDir,
    account,
    say,
    signal,
  },
) {
  const folder = jarsFolder(cacheDir, account);
  if (existsSync(folder)) return;
  mkdirSync(join(folder, ".."), { recursive: true, mode: 0o755 });
  // Maven's own repository does not bear two writers either.
  await withLock(`${folder}.lock`, download, (pid) =>
    say(`kafka: waiting for process ${pid}, which is bringing the jars`),
  );

  async function download() {
    if (existsSync(folder)) return;
    const began = Date.now();
    const fresh = `${folder}.new`;
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh);
    copyFileSync(POM, join(fresh, "pom.xml"));
    say(`kafka: bringing Apache Kafka ${VERSION}'s jars from Maven Central`);
    const { code, output } = await run(
      findProgram("mvn") ?? "mvn",
      [
        "-B",
        "-q",
        "-f",
        join(fresh, "pom.xml"),
        "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies",
        `-DoutputDirectory=${fresh}`,
        "-DincludeScope=runtime",
      ],
      { signal, timeoutMs: 10 * 60_000 },
    );
    if (code !== 0)
      throw new Error(
        "kafka: its jars could not be brought from Maven Central; look at " +
          "the network or ~/.m2/settings.xml, or give a log by KAFKA_BROKERS\n" +
          lastLines(output),
      );
    renameSync(fresh, folder);
    say(`kafka: ${readdirSync(folder).length - 1} jars in ${since(began)}`);
  }
}

/** 6 MiB: the dead-letter topics' 5 MiB and the batch's own bytes. */
const MAX_BYTES = 6 * 2 ** 20;

/** @param {import("./service.mjs").Context} context */
function settings({ folder, ports, lines }) {
  const broker = ports.kafka;
  const controller = ports["kafka-controller"];
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:${broker},CONTROLLER://127.0.0.1:${controller}
advertised.listeners=PLAINTEXT://127.0.0.1:${broker}
log.dirs=${join(folder, "log")}

auto.create.topics.enable=false
num.partitions=1
message.max.bytes=${MAX_BYTES}
replica.fetch.max.bytes=${MAX_BYTES}
group.initial.rebalance.delay.ms=0
# A killed broker may register again only when its old session has ended: with
# the default of 9 s a restart took 11.5 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# One node: nothing to replicate to.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1

# Light: an index file is laid out at full size for each partition's segment.
log.segment.bytes=268435456
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
${lines(ports)}`;
}
