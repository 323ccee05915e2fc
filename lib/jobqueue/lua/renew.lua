-- Keep the leases on entries that are still this consumer's.
-- KEYS[1] a work stream
-- ARGV[1] group
-- ARGV[2] consumer
-- ARGV[3..] entry ids
-- Returns the entry ids that are no longer this consumer's
local lost = {}
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  if pending and pending[2] == ARGV[2] then
    -- JUSTID: without it every renewal would count as a delivery.
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
