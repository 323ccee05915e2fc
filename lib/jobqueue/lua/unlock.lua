-- Give the watcher's lock back, when it is still ours.
-- KEYS[1] the lock
-- ARGV[1] value
-- Returns 1 when it was ours
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
