-- Settle a batch once none of its jobs is in it any more.
-- KEYS[1..14] the job keys
-- ARGV[1] batch id
-- ARGV[2] token
-- Returns {'ok'}, {'lost'}, or {'open', the request ids still in it}
local bad = wrong_type()
if bad then return bad end
local batch = load_batch(ARGV[1])
if not batch then return { 'ok' } end
if batch.token ~= ARGV[2] then return { 'lost' } end
local open = { 'open' }
for _, id in ipairs(batch.ids) do
  local row = load_row(id)
  if row and row.batch == ARGV[1] and IN_BATCH[row.state] then open[#open + 1] = id end
end
if #open > 1 then return open end
drop(BATCHES, PROVISIONERS, batch.entry)
redis.call('HDEL', BATCH_INDEX, ARGV[1])
return { 'ok' }
