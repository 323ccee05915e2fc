-- Check entries that the watcher has read against their rows, before any of them is dispatched.
-- KEYS[1..14] the job keys
-- ARGV[1..] quadruples: entry id, request id, content hash, spec (opaque JSON)
-- Returns for each entry five values: outcome, attempt, losses, alone (0 or 1), queued at (unix ms). Outcomes:
--   held        undispatched and ours to dispatch (adopted, when another program had put it there)
--   elsewhere   in a batch, an upload: its lease is to be held, nothing else
--   superseded  its row names another entry or a final record: acknowledged and deleted here
--   gone        deleted meanwhile
local bad = wrong_type()
if bad then return bad end
pass_memory_limit()
local answer = {}
for i = 1, #ARGV, 4 do
  local entry, id, hash, spec = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local row = load_row(id)
  local outcome
  if row and row.entry == entry then
    outcome = row.state == 'queued' and 'held' or 'elsewhere'
  elseif not exists(STREAM, entry) then
    redis.call('XACK', STREAM, WATCHERS, entry)
    outcome = 'gone'
  elseif (not row or (row.legacy and not FINAL[row.state])) and not has_record(id) then
    row = { v = 1, attempt = 0, hash = hash, entry = entry, queued_ms = math.min(NOW, tonumber(string.match(entry, '^%d+'))) }
    redis.call('HSET', SPECS, id, spec)
    redis.call('ZADD', OUTSTANDING, row.queued_ms, id)
    enter(id, row, 'queued', 'adopted')
    outcome = 'held'
  else
    drop(STREAM, WATCHERS, entry)
    redis.pcall('XADD', EVENTS, 'MAXLEN', '~', EVENTS_CAP, '*', 'request_id', id, 'state', 'superseded',
      'attempt', 0, 'batch', '', 'reason', entry)
    outcome = 'superseded'
  end
  row = row or {}
  for _, value in ipairs({ outcome, row.attempt or 0, row.lost or 0, row.alone or 0, row.queued_ms or NOW }) do
    answer[#answer + 1] = value
  end
end
if next(deltas) then finish() end
return answer
