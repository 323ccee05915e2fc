-- Claim entries that were idle too long (redis-py's own call drops the cursor when only ids are asked for).
-- KEYS[1] a work stream
-- ARGV[1] group
-- ARGV[2] consumer
-- ARGV[3] least idle time in ms
-- ARGV[4] cursor
-- ARGV[5] how many at most
-- Returns {next cursor, entry ids}
-- JUSTID: reclaiming alone does not count as a delivery, and Redis 6.2 then names entries that were deleted.
local answer = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], 'COUNT', ARGV[5], 'JUSTID')
return { answer[1], answer[2] }
