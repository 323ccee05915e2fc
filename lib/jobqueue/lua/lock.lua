-- Take the watcher's lock, or keep it, and leave the heartbeat that goes with it.
-- KEYS[1] the lock
-- KEYS[2] the heartbeat
-- ARGV[1] value: the owner's name, a space, a random token
-- ARGV[2] time to live in ms
-- ARGV[3] heartbeat (opaque JSON)
-- Returns the value of the lock now: ours when it is held
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return owner end
redis.call('GET', KEYS[2]) -- Fails on another type, before anything is written; SET would overwrite it.
-- A full Redis refuses SET as a script's first write, but not PEXPIRE.
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if not owner then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
redis.call('SET', KEYS[2], ARGV[3])
return ARGV[1]
