/**
 * What runs inside the server, each at one moment. Every script looks at the store's id first: a database that was
 * emptied, or another one behind the same address, is never taken for a store without keys.
 *
 * KEYS: 1 the store's facts (hash: id, format, writes), 2 all keys (sorted set, every score 0: bytewise order), 3 values
 * (hash: 24 characters of etag, then the value). ARGV: 1 the store's id, 2 the least `writes` that must be there, then the
 * script's own. Answers begin with a word (ok, or why nothing was done) and the store's `writes` as of that moment; only
 * where it is another store, `store, its id or nil`.
 */
import { createHash } from "node:crypto";

/** Characters of an etag: 16 random bytes of the Write in base64url, and two hexadecimal digits of the operation. */
export const ETAG_LENGTH = 24;

export interface Script {
  readonly text: string;
  readonly sha1: string;
}

const guard = `
local facts = redis.call('HMGET', KEYS[1], 'id', 'writes')
if facts[1] ~= ARGV[1] then return {'store', facts[1]} end
local writes = facts[2] or '0'
if tonumber(writes) < tonumber(ARGV[2]) then return {'back', writes} end
`;

function script(body: string): Script {
  const text = `${guard}${body}`;
  return { text, sha1: createHash("sha1").update(text).digest("hex") };
}

/** ARGV 3: bytes after which it stops, then keys. Answers `ok, writes, raw or nil…`: fewer than asked where it is full. */
export const getScript = script(`
local answer = {'ok', writes}
local bytes = 0
for i = 4, #ARGV do
  local raw = redis.call('HGET', KEYS[3], ARGV[i])
  if raw then bytes = bytes + #raw end
  if bytes > tonumber(ARGV[3]) and i > 4 then break end
  answer[#answer + 1] = raw
end
return answer
`);

/** ARGV 3 and 4: the range as ZRANGEBYLEX takes it, 5 limit, 6 bytes. Answers `ok, writes, more, key, raw, key, raw…`. */
export const listScript = script(`
local limit = tonumber(ARGV[5])
local found = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[3], ARGV[4], 'LIMIT', 0, limit + 1)
local answer = {'ok', writes, 0}
local bytes = 0
for i, key in ipairs(found) do
  local raw = i <= limit and redis.call('HGET', KEYS[3], key)
  if i <= limit and not raw then return {'damaged', writes, key} end
  if raw then bytes = bytes + #key + #raw end
  if not raw or (bytes > tonumber(ARGV[6]) and i > 1) then
    answer[3] = 1
    break
  end
  answer[#answer + 1] = key
  answer[#answer + 1] = raw
end
return answer
`);

/** ARGV 3 and 4: the range. Answers `ok, writes, count`. */
export const countScript = script(`
return {'ok', writes, redis.call('ZLEXCOUNT', KEYS[2], ARGV[3], ARGV[4])}
`);

/** Answers `ok, writes, how many keys, how many values`. */
export const probeScript = script(`
return {'ok', writes, redis.call('ZCARD', KEYS[2]), redis.call('HLEN', KEYS[3])}
`);

/**
 * `may` runs a command and answers nothing, or the error that the script is to end with, which names the permission: older
 * servers say neither that it is one nor which. The others are harmless forms of what a Write changes. Only the first
 * command of a script that may change something is refused by a full server, and only where it may take memory.
 */
const permissions = `
local function may(command, ...)
  local answer = redis.pcall(command, ...)
  if type(answer) ~= 'table' or not answer.err then return nil end
  for _, words in ipairs({'NOPERM', 'ACL failure', "can't run this command", "can't access"}) do
    if string.find(answer.err, words, 1, true) then
      return {err = 'NOPERM the user lacks +' .. string.lower(command) .. ' on the keys of this store'}
    end
  end
  return answer
end
local function mayShrink()
  return may('HDEL', KEYS[3], '') or may('ZREM', KEYS[2], '')
end
local function mayGrow()
  return may('ZADD', KEYS[2], 'XX', 0, '')
end
`;

/**
 * ARGV 3: not-after in ms or nothing, then four for each operation: put, delete or check; key; condition (nothing, absent,
 * present, =etag); what to put. Answers `ok, writes, 1 where it changed anything, etag seen by each check or nothing…`,
 * `failed, writes, index` or `late, writes, now`.
 *
 * A script is not rolled back. That it is all or none rests on this: everything that can refuse it (conditions, time,
 * permissions, and with the first command that may change something: memory, role, disk) does so before a key is changed,
 * and after that the server refuses nothing more. A Write of deletes is not refused for want of memory.
 */
export const writeScript = script(`${permissions}
local answer = {'ok', writes, 0}
local grows, changes = false, false
for i = 4, #ARGV, 4 do
  local kind, condition = ARGV[i], ARGV[i + 2]
  local etag = ''
  if condition ~= '' then
    local raw = redis.call('HGET', KEYS[3], ARGV[i + 1])
    if raw then etag = string.sub(raw, 1, ${ETAG_LENGTH}) end
    local holds = '=' .. etag == condition
    if condition == 'absent' then holds = not raw end
    if condition == 'present' then holds = raw end
    if not holds then return {'failed', writes, (i - 4) / 4} end
  end
  if kind == 'put' then grows, changes = true, true end
  if kind == 'delete' then changes = true end
  answer[#answer + 1] = kind == 'check' and etag or ''
end
if not changes then return answer end
if ARGV[3] ~= '' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if now > tonumber(ARGV[3]) then return {'late', writes, string.format('%.0f', now)} end
end
local refused = grows and mayGrow() or mayShrink()
if refused then return refused end
answer[2], answer[3] = string.format('%.0f', writes + 1), 1
refused = may('HSET', KEYS[1], 'writes', answer[2])
if refused then return refused end
for i = 4, #ARGV, 4 do
  local key = ARGV[i + 1]
  if ARGV[i] == 'put' then
    if redis.call('HSET', KEYS[3], key, ARGV[i + 3]) == 1 then redis.call('ZADD', KEYS[2], 0, key) end
  elseif ARGV[i] == 'delete' and redis.call('HDEL', KEYS[3], key) == 1 then
    redis.call('ZREM', KEYS[2], key)
  end
end
return answer
`);

/**
 * A change of nothing, which replicas receive all the same, and which needs every permission that a Write needs; a full
 * server lets it pass. Answers `ok, writes`.
 */
export const touchScript = script(`${permissions}
return mayShrink() or mayGrow() or may('HSET', KEYS[1], 'format', '1') or {'ok', writes}
`);

/** ARGV 1: the id if there is none. Answers the id, 1 where it is new, and how many keys there are. Changes nothing with ARGV 2. */
export const identifyScript: Script = (() => {
  const text = `
local id = redis.call('HGET', KEYS[1], 'id')
local count = redis.call('ZCARD', KEYS[2])
if id or ARGV[2] == 'look' or (ARGV[2] == 'adopt' and count == 0) then return {id, 0, count} end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'format', '1')
return {ARGV[1], 1, count}
`;
  return { text, sha1: createHash("sha1").update(text).digest("hex") };
})();
