-- Say that workers are alive, by the clock of Redis, and forget those silent for a day.
-- KEYS[1] the sorted set of workers
-- ARGV[1..] members: role, a slash, name
-- Returns the time in unix ms
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- First the removal: a full Redis refuses ZADD as a script's first write.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 86400000)
for i = 1, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[i]) end
return now
