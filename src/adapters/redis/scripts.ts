/**
 * The Lua scripts. Each touches one key, so that a cluster could hold them; what must not be torn apart happens in one script.
 *
 * A write that Redis refuses for want of memory (OOM) is refused only as the first write of a script: a script that has
 * written before may go beyond `maxmemory`. So in each the write that grows comes first.
 */
import { createHash } from "node:crypto";

/** How a call of a script begins, in Redis' protocol: the verb, the script, and that one key follows. */
export interface Script {
  /** EVAL with the text. */
  readonly byText: Buffer;
  /** EVALSHA, for a Redis that has run the text before. */
  readonly byHash: Buffer;
}

const bulk = (text: string): string =>
  `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

function script(lua: string): Script {
  const sha = createHash("sha1").update(lua).digest("hex");
  return {
    byText: Buffer.from(bulk("EVAL") + bulk(lua) + bulk("1")),
    byHash: Buffer.from(bulk("EVALSHA") + bulk(sha) + bulk("1")),
  };
}

/**
 * Adds messages to a device's history, trims it, renews its expiry, publishes.
 * KEYS: the history. ARGV: 1 lower bound of what is trimmed, as ZREMRANGEBYSCORE takes its upper one; 2 seconds to expiry;
 * 3 channel, or empty; 4 index of the last of the scores and members, which begin at 5; then the texts to publish where
 * these are others than the members. Trims even when nothing could be added: that is what makes room again.
 * Returns 1, or the error of the ZADD.
 */
export const HISTORY = script(`
local history, last, added = KEYS[1], tonumber(ARGV[4]), 0
if last > 4 then
  added = redis.pcall('ZADD', history, unpack(ARGV, 5, last))
end
redis.call('ZREMRANGEBYSCORE', history, '-inf', ARGV[1])
redis.call('EXPIRE', history, ARGV[2])
if type(added) == 'table' and added.err then return added end
local channel = ARGV[3]
if channel ~= '' then
  if #ARGV > last then
    for i = last + 1, #ARGV do redis.call('PUBLISH', channel, ARGV[i]) end
  else
    for i = 6, last, 2 do redis.call('PUBLISH', channel, ARGV[i]) end
  end
end
return 1
`);

/**
 * Sets a device's last state if it is later than the one there, by (order, offset).
 * KEYS: the hash. ARGV: 1 order; 2 offset; 3 payload; 4 timestamp; then further fields and their values.
 * Returns 1 when it was set, 0 when the one there is as late or later.
 */
export const LAST_STATE = script(`
local key, mine = KEYS[1], ARGV[1]
local there = redis.call('HGET', key, 'order')
if there then
  there, mine = tonumber(there), tonumber(mine)
  if there > mine then return 0 end
  if there == mine and tonumber(redis.call('HGET', key, 'offset')) >= tonumber(ARGV[2]) then return 0 end
end
redis.call('HSET', key, 'order', ARGV[1], 'offset', ARGV[2], 'payload', ARGV[3], 'timestamp', ARGV[4], unpack(ARGV, 5))
return 1
`);

/**
 * Marks devices of one tenant as seen, and publishes those that were not online: not in the set, or last seen before the
 * limit. One seen before the limit itself (a backlog is worked off) is not called online.
 * KEYS: the online set. ARGV: 1 limit, Unix seconds; 2 channel, or empty; 3 the tenant as a JSON member with its comma, or
 * empty; 4 number of devices n; then n scores and device ids; then, if there is a channel, n times as ISO text.
 * Returns the number of those that came online.
 */
export const ONLINE = script(`
local online, limit, channel, n = KEYS[1], tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[4])
local last, before, came = 4 + 2 * n, nil, 0
if channel ~= '' then
  local ids = {}
  for i = 1, n do ids[i] = ARGV[4 + 2 * i] end
  before = redis.call('ZMSCORE', online, unpack(ids))
end
redis.call('ZADD', online, 'GT', unpack(ARGV, 5, last))
if before then
  for i = 1, n do
    local seen = tonumber(ARGV[3 + 2 * i])
    if seen >= limit and (not before[i] or tonumber(before[i]) < limit) then
      came = came + 1
      redis.call('PUBLISH', channel, '{"device_id":"' .. ARGV[4 + 2 * i] .. '",' .. ARGV[3]
        .. '"online":true,"cause":null,"last_seen":"' .. ARGV[last + i] .. '"}')
    end
  end
end
return came
`);

/**
 * Takes a device out of the online set, unless it was seen after the given time, and publishes that.
 * KEYS: the online set. ARGV: 1 device id; 2 time, Unix seconds; 3 channel, or empty; 4 text.
 * Returns 1 when it was taken out, 0 when it was not there or was seen later.
 */
export const OFFLINE = script(`
local seen = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not seen or tonumber(seen) > tonumber(ARGV[2]) then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
return 1
`);

/**
 * Moves the mark of a partition on, if it stands where the write began or already where it ends.
 * KEYS: the mark. ARGV: 1 from; 2 to. Returns 1 when it now stands at the end, else 0 and nothing is changed.
 */
export const MOVE_MARK = script(`
local mark = redis.call('GET', KEYS[1])
if mark ~= ARGV[1] and mark ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`);

/**
 * Counts requests within the window that the first of them began.
 * KEYS: the count. ARGV: 1 the window, milliseconds; 2 how many requests. Returns the count after them and the milliseconds
 * left of the window.
 */
export const HIT = script(`
local count = redis.call('INCRBY', KEYS[1], ARGV[2])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, left}
`);
