-- One bounded step of emptying the queue: unfinished rows, work streams and the retry set.
-- KEYS[1..14] the job keys
-- KEYS[15..] every uploads stream
-- ARGV[1] how many of each to remove at most
-- Returns how many things were removed; 0 when there is nothing left
local extra = {}
for i = 15, #KEYS do extra[i] = 'stream' end
local bad = wrong_type(extra)
if bad then return bad end
local limit, removed = tonumber(ARGV[1]), 0
for _, id in ipairs(redis.call('ZRANGE', OUTSTANDING, 0, limit - 1)) do
  redis.call('ZREM', OUTSTANDING, id)
  redis.call('HDEL', SPECS, id)
  local row = load_row(id)
  if row and not FINAL[row.state] then
    if not row.legacy then bump(row.state, -1) end
    redis.call('HDEL', INDEX, id)
  end
  removed = removed + 1
end
local groups = { [3] = WATCHERS, [13] = PROVISIONERS }
for i = 15, #KEYS do groups[i] = UPLOADERS end
for i, group in pairs(groups) do
  for _, entry in ipairs(redis.call('XRANGE', KEYS[i], '-', '+', 'COUNT', limit)) do
    drop(KEYS[i], group, entry[1])
    if i == 13 then
      for f = 1, #entry[2], 2 do
        if entry[2][f] == 'batch_id' then redis.call('HDEL', BATCH_INDEX, entry[2][f + 1]) end
      end
    end
    removed = removed + 1
  end
end
for _, member in ipairs(redis.call('ZRANGE', RETRY, 0, limit - 1)) do
  redis.call('ZREM', RETRY, member)
  removed = removed + 1
end
finish()
return removed
