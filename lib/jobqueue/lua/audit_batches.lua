-- Remove rows of batches whose entry has vanished; `audit` has put their jobs back.
-- KEYS[1..14] the job keys
-- ARGV[1..] batch ids
-- Returns the batch ids removed
local bad = wrong_type()
if bad then return bad end
local answer = {}
for i = 1, #ARGV do
  local batch = load_batch(ARGV[i])
  if batch and not exists(BATCHES, batch.entry) then
    local open = false
    for _, id in ipairs(batch.ids or {}) do
      local row = load_row(id)
      open = open or (row and row.batch == ARGV[i] and IN_BATCH[row.state])
    end
    if not open then
      redis.call('HDEL', BATCH_INDEX, ARGV[i])
      answer[#answer + 1] = ARGV[i]
    end
  end
end
return answer
