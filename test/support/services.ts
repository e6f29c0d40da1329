/** Real services for tests: the runner's shared stack where there is one, else a stack of the test's own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

export type ServiceName = "kafka" | "redis" | "postgres" | "mqtt" | "minio";

/** Addresses by their settings' names: KAFKA_BROKERS, REDIS_URL, DATABASE_URL, MQTT_URL, MINIO_ENDPOINT. */
export type ServiceEnv = Readonly<Record<string, string>>;

export interface Service {
  readonly name: string;
  readonly url: string;
  readonly pid: number | null;
  /** With its data. */
  readonly folder: string;
  /** Starts it again on the same port and data; resolves when it answers. */
  start(): Promise<void>;
  stop(): Promise<void>;
  kill(signal?: NodeJS.Signals): Promise<void>;
  wipe(): Promise<void>;
}

export interface Stack {
  readonly env: ServiceEnv;
  /** Those that were asked for. */
  readonly services: Readonly<Record<ServiceName, Service>>;
  stop(options?: { wipe?: boolean }): Promise<void>;
}

interface StackModule {
  startStack(options: {
    dir: string;
    services?: readonly ServiceName[];
    say?: (line: string) => void;
    logIn?: boolean;
    lines?: StackOptions["lines"];
    env?: Record<string, string | undefined>;
  }): Promise<Stack>;
}

/** How the runner hands its shared stack to a test file: JSON of a ServiceEnv. */
export const SHARED_STACK = "TWINSTREAM_TEST_STACK";

export interface StackOptions {
  /** The MQTT broker asks for a log-in: MQTT_ADMIN_URL is its control user, MQTT_URL one that is still to be made. */
  readonly logIn?: boolean;
  /** By service: what else its settings file ends with, from its ports by name. */
  readonly lines?: Readonly<
    Record<string, (ports: Readonly<Record<string, number>>) => string>
  >;
}

/** A stack in a folder of its own, on free ports; whoever starts it stops it. */
export async function startOwnStack(
  services: readonly ServiceName[],
  { logIn = false, lines = {} }: StackOptions = {},
): Promise<Stack> {
  const module = (await import(
    pathToFileURL(resolve("deploy/stack.mjs")).href
  )) as StackModule;
  const dir = await mkdtemp(join(tmpdir(), "twinstream-test-"));
  const stack = await module.startStack({
    dir,
    services,
    say: () => undefined,
    logIn,
    lines,
    env: { TWINSTREAM_SERVICES: "native" },
  });
  const own: Stack = {
    ...stack,
    async stop() {
      running.delete(own);
      await stack.stop({ wipe: true });
      await rm(dir, { recursive: true, force: true });
    },
  };
  running.add(own);
  return own;
}

const running = new Set<Stack>();

/** For a process that is told to end in the midst of its work: its services would outlive it. */
export async function stopOwnStacks(): Promise<void> {
  await Promise.allSettled([...running].map((stack) => stack.stop()));
}

/** Runs a test against services that it shares with others: it uses names of its own, and leaves the services up. */
export async function withServices<T>(
  services: readonly ServiceName[],
  work: (env: ServiceEnv) => Promise<T>,
): Promise<T> {
  const shared = process.env[SHARED_STACK];
  if (shared !== undefined) return work(JSON.parse(shared) as ServiceEnv);
  return withOwnStack(services, ({ env }) => work(env));
}

/** Runs a test against services that are its own, to be killed and stopped at will. */
export async function withOwnStack<T>(
  services: readonly ServiceName[],
  work: (stack: Stack) => Promise<T>,
  options: StackOptions = {},
): Promise<T> {
  const stack = await startOwnStack(services, options);
  try {
    return await work(stack);
  } finally {
    await stack.stop();
  }
}
