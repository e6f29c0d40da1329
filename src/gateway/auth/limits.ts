/** How many requests an address, a user or a log-in may make in a minute, counted for all gateway processes together. */
import rateLimit, { normalizeIP } from "@fastify/rate-limit";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { reasonOf } from "../../errors.js";
import type { Clock, Observer, RateCounter } from "../../ports.js";
import { refusal } from "../problems.js";
import { userOf } from "./identity.js";

export interface RateLimits {
  readonly counter: RateCounter;
  /** Requests a minute; 0 is no limit. */
  readonly perIp: number;
  readonly perUser: number;
  /** Log-ins and refreshes a minute from one address. */
  readonly perLogin: number;
}

export interface LimitDeps {
  readonly limits: RateLimits;
  readonly observer: Observer;
  readonly clock: Clock;
}

/** Throws RATE_LIMITED past the limit; sets the headers that say where the client stands. */
export type Limiter = (
  request: FastifyRequest,
  reply: FastifyReply,
) => Promise<void>;
export type Limiters = Readonly<Record<"ip" | "user" | "login", Limiter>>;

const WINDOW_MS = 60_000;
/** Keys that a process counts by itself at most, while Redis is away. */
const MOST_KEYS = 50_000;

/** To be called once the plugin is there. */
export function createLimiters(
  app: FastifyInstance,
  { limits }: LimitDeps,
): Limiters {
  const limiter = (
    max: number,
    keyGenerator: (request: FastifyRequest) => string,
  ): Limiter => {
    if (max === 0) return async () => {};
    const look = app.createRateLimit({
      max,
      timeWindow: WINDOW_MS,
      keyGenerator,
    });
    return async (request, reply) => {
      const found = await look(request);
      if (found.isAllowed) return; // only with an allow list, which we have none of
      reply.header("ratelimit-limit", max);
      reply.header("ratelimit-remaining", found.remaining);
      reply.header("ratelimit-reset", found.ttlInSeconds);
      if (!found.isExceeded) return;
      reply.header("retry-after", found.ttlInSeconds);
      throw refusal(
        "RATE_LIMITED",
        `more than ${max} requests in a minute; come again in ${found.ttlInSeconds} s`,
      );
    };
  };
  // An IPv6 client has a whole /64 to choose addresses from: they count as one.
  const ip = (request: FastifyRequest) => normalizeIP(request.ip);
  return {
    ip: limiter(limits.perIp, (request) => `ip:${ip(request)}`),
    login: limiter(limits.perLogin, (request) => `login:${ip(request)}`),
    user: limiter(
      limits.perUser,
      (request) => `user:${userOf(request).username}`,
    ),
  };
}

/** The plugin, told to count by our port. */
export function registerLimits(app: FastifyInstance, deps: LimitDeps): void {
  const hit = withFallBack(deps);
  const store: Store = {
    incr(key, answer, windowMs) {
      hit(key, windowMs).then(
        ({ count, leftMs }) => answer(null, { current: count, ttl: leftMs }),
        (error: unknown) =>
          answer(error instanceof Error ? error : new Error(reasonOf(error))),
      );
    },
    child: () => store,
  };
  app.register(rateLimit, {
    global: false,
    // It is asked for a constructor; what that returns is our one store.
    store: function () {
      return store;
    } as unknown as new () => Store,
  });
}

interface Store {
  incr(
    key: string,
    answer: (
      error: Error | null,
      result?: { current: number; ttl: number },
    ) => void,
    windowMs: number,
  ): void;
  child(): Store;
}

/** While Redis is away each process counts for itself: a limit is then as many times higher as there are processes, never gone. */
function withFallBack({
  limits,
  observer,
  clock,
}: LimitDeps): RateCounter["hit"] {
  const own = countHere(clock);
  return async (key, windowMs) => {
    try {
      return await limits.counter.hit(key, windowMs);
    } catch (error) {
      observer.emit({
        type: "failure",
        where: "gateway: rate limits, counting in this process alone",
        error: reasonOf(error),
      });
      return own(key, windowMs);
    }
  };
}

function countHere(clock: Clock) {
  const windows = new Map<string, { count: number; endMs: number }>();
  return (key: string, windowMs: number): { count: number; leftMs: number } => {
    const now = clock();
    let window = windows.get(key);
    if (window === undefined || window.endMs <= now) {
      windows.delete(key);
      // Oldest first, since each is put at the end when it begins.
      const [oldest] = windows.keys();
      if (windows.size >= MOST_KEYS && oldest !== undefined)
        windows.delete(oldest);
      window = { count: 0, endMs: now + windowMs };
      windows.set(key, window);
    }
    window.count += 1;
    return { count: window.count, leftMs: window.endMs - now };
  };
}
