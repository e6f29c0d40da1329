/** What Redis has used of what it may, for `twinstream capacity`. */
import { connect } from "./connect.js";

export interface RedisUsage {
  readonly usedBytes: number;
  /** Its limit, or the machine's memory where it has none. */
  readonly mostBytes: number;
  readonly limited: boolean;
  /** User and system time so far; one thread does nearly all of its work. */
  readonly cpuSeconds: number;
  readonly keys: number;
}

const SILENCE_MS = 5000;

/** @throws TwinstreamError VIEW_UNREACHABLE */
export async function readRedisUsage(url: string): Promise<RedisUsage> {
  const link = connect({
    url,
    name: "twinstream-capacity",
    silenceMs: SILENCE_MS,
  });
  try {
    const [info, keys] = await link.run((redis) =>
      Promise.all([redis.info(), redis.dbsize()]),
    );
    return { ...usageIn(info), keys };
  } finally {
    await link.close();
  }
}

/** What the text of INFO says. */
function usageIn(info: string): Omit<RedisUsage, "keys"> {
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:([\\d.]+)`, "m").exec(info)?.[1] ?? 0);
  const limit = field("maxmemory");
  return {
    usedBytes: field("used_memory"),
    mostBytes: limit > 0 ? limit : field("total_system_memory"),
    limited: limit > 0,
    cpuSeconds: field("used_cpu_user") + field("used_cpu_sys"),
  };
}
