-- Claim entries that were delivered once and are not this watcher's: another's, or nobody's any more.
-- KEYS[1] the jobs stream
-- KEYS[2] the watcher's lock
-- ARGV[1] the lock's value while this watcher holds it
-- ARGV[2] group
-- ARGV[3] consumer
-- ARGV[4..] entry ids
-- Returns {'lost'} when the lock is another's, else {'ok', the entry ids that are this consumer's now}
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return { 'lost' } end
local answer = { 'ok' }
for i = 4, #ARGV do
  local id = ARGV[i]
  local pending = redis.call('XPENDING', KEYS[1], ARGV[2], id, id, 1)[1]
  if pending and pending[2] == ARGV[3] then
    answer[#answer + 1] = id
  elseif #redis.call('XRANGE', KEYS[1], id, id) > 0 then
    -- FORCE: one that was acknowledged by hand is pending for nobody. JUSTID: this is no delivery.
    redis.call('XCLAIM', KEYS[1], ARGV[2], ARGV[3], 0, id, 'FORCE', 'JUSTID')
    answer[#answer + 1] = id
  end
end
return answer
