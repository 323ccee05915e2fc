-- Forget unfinished requests that no outstanding job stands behind: rows of older versions, specs left over.
-- KEYS[1..14] the job keys
-- ARGV[1..] request ids, as a walk over rows and specs found them
-- Returns how many were forgotten; a job that is outstanding, or has a final record, is left alone
local bad = wrong_type()
if bad then return bad end
local removed = 0
for i = 1, #ARGV do
  local id = ARGV[i]
  local ended = redis.call('HEXISTS', RESULT, id) == 1 or redis.call('HEXISTS', FAILED, id) == 1
  if not ended and not redis.call('ZSCORE', OUTSTANDING, id) then
    local gone = redis.call('HDEL', SPECS, id)
    local row = load_row(id)
    if row and not FINAL[row.state] then
      redis.call('HDEL', INDEX, id)
      if not row.legacy then bump(row.state, -1) end
      gone = 1
    end
    removed = removed + gone
  end
end
if next(deltas) then finish() end
return removed
