-- Hand a batch back on a clean stop, for any slot to take at once; counts as nothing.
-- KEYS[1..14] the job keys
-- ARGV[1] batch id
-- ARGV[2] token
-- Returns {'ok'} or {'lost'}
local bad = wrong_type()
if bad then return bad end
pass_memory_limit()
local batch = load_batch(ARGV[1])
if not batch then return { 'lost' } end
if batch.released_by == ARGV[2] and batch.token == '' then return { 'ok' } end
if batch.token ~= ARGV[2] then return { 'lost' } end
local old = redis.call('XRANGE', BATCHES, batch.entry, batch.entry)[1]
if not old then return { 'lost' } end
drop(BATCHES, PROVISIONERS, batch.entry)
batch.entry = redis.call('XADD', BATCHES, '*', unpack(old[2]))
batch.token, batch.consumer, batch.released_by = '', '', ARGV[2]
save_batch(ARGV[1], batch)
for _, id in ipairs(batch.ids) do
  local row = load_row(id)
  if row and row.batch == ARGV[1] and row.state == 'speaking' then enter(id, row, 'dispatched', 'released') end
end
if next(deltas) then finish() end
return { 'ok' }
