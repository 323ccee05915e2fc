-- Settle entries that cannot be parsed: a failed record with the raw payload, so that nothing vanishes silently.
-- KEYS[1..14] the job keys
-- ARGV[1..] quadruples: entry id, request id ('' when unknown), record, record keyed by the entry id
-- Returns for each entry the key its record has (a repeat too), or '' when the entry was gone
local bad = wrong_type()
if bad then return bad end
pass_memory_limit()
local answer = {}
for i = 1, #ARGV, 4 do
  local entry, id, record, keyed = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local key = ''
  if exists(STREAM, entry) then
    local row = id ~= '' and load_row(id) or nil
    local ours = row and (row.entry == entry or (row.legacy and not FINAL[row.state]))
    local free = id ~= '' and not row and not has_record(id)
    drop(STREAM, WATCHERS, entry)
    if ours or free then
      key = id
    else
      key, record, row = entry, keyed, nil
    end
    to_final(key, row or { v = 1, attempt = 0 }, 'failed', record, 'invalid_job')
  else
    redis.call('XACK', STREAM, WATCHERS, entry)
    if id ~= '' and redis.call('HGET', FAILED, id) == record then
      key = id
    elseif redis.call('HGET', FAILED, entry) == keyed then
      key = entry
    end
  end
  answer[#answer + 1] = key
end
if next(deltas) then finish() end
return answer
