-- Become the holder of a batch whose entry this consumer has read or reclaimed.
-- KEYS[1..14] the job keys
-- ARGV[1] consumer
-- ARGV[2] entry id on the batches stream
-- ARGV[3] batch id
-- ARGV[4] token: 128 random bits, made by the claimer for this claim
-- ARGV[5] 1 when the claimer found the last holder's executor alive and goes on with it: then nothing was lost
-- Returns {'lost'} when the entry is another consumer's, {'gone'} when the batch is settled (acknowledged here), else
--   {'ok', losses, then for each job still in the batch: request id, spec, attempt, losses, crashes, state}
local bad = wrong_type()
if bad then return bad end
pass_memory_limit()
local consumer, entry, batch_id, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local pending = redis.call('XPENDING', BATCHES, PROVISIONERS, entry, entry, 1)[1]
local batch = load_batch(batch_id)
local current = batch and batch.entry == entry
if not pending and not current then return { 'gone' } end
if not pending or pending[2] ~= consumer then return { 'lost' } end
if not current then
  drop(BATCHES, PROVISIONERS, entry)
  return { 'gone' }
end
local counted = batch.token ~= '' and batch.token ~= token and ARGV[5] ~= '1'
if counted then batch.losses = batch.losses + 1 end
batch.token, batch.consumer, batch.claimed_ms = token, consumer, NOW
save_batch(batch_id, batch)
local answer = { 'ok', batch.losses }
for _, id in ipairs(batch.ids) do
  local row = load_row(id)
  if row and row.batch == batch_id and IN_BATCH[row.state] then
    if counted and row.state == 'speaking' then
      row.crashes = (row.crashes or 0) + 1
      enter(id, row, 'dispatched', 'holder_lost')
    end
    for _, value in ipairs({ id, redis.call('HGET', SPECS, id) or '', row.attempt or 0, row.lost or 0,
      row.crashes or 0, row.state }) do
      answer[#answer + 1] = value
    end
  end
end
if next(deltas) then finish() end
return answer
