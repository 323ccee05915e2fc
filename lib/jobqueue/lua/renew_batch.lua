-- Keep a batch's lease alive, and learn which of its jobs have left it (cancelled, flushed).
-- KEYS[1..14] the job keys
-- ARGV[1] consumer
-- ARGV[2] batch id
-- ARGV[3] token
-- Returns {'lost'} or {'ok', the request ids still in the batch}
local bad = wrong_type()
if bad then return bad end
local batch = load_batch(ARGV[2])
if not batch or batch.token ~= ARGV[3] then return { 'lost' } end
local pending = redis.call('XPENDING', BATCHES, PROVISIONERS, batch.entry, batch.entry, 1)[1]
if not pending or pending[2] ~= ARGV[1] then return { 'lost' } end
-- JUSTID: without it every renewal would count as a delivery.
redis.call('XCLAIM', BATCHES, PROVISIONERS, ARGV[1], 0, batch.entry, 'JUSTID')
local answer = { 'ok' }
for _, id in ipairs(batch.ids) do
  local row = load_row(id)
  if row and row.batch == ARGV[2] and IN_BATCH[row.state] then answer[#answer + 1] = id end
end
return answer
