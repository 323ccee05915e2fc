-- Take the right to reclaim abandoned entries of a stream, for a while: one sweeper at a time.
-- KEYS[1] the expiring key of that stream
-- ARGV[1] value: the sweeper's name, a space, a nonce of this call (a repeat after a lost reply gets the first answer)
-- ARGV[2] time to live in ms
-- Returns 1 when the right is ours, else 0
local owner = redis.call('GET', KEYS[1])
if owner then return owner == ARGV[1] and 1 or 0 end
-- A full Redis refuses SET as a script's first write, but not DEL; and it must go on reclaiming, or it never drains.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
