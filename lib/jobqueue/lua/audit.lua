-- Look at a window of the outstanding jobs, oldest first, and put back what has lost the entry that carries it.
-- KEYS[1..14] the job keys
-- KEYS[15..] every uploads stream
-- ARGV[1] first rank of the window
-- ARGV[2] size of the window
-- ARGV[3..] the spools, in the order of their streams in KEYS; one that is lost, with its files, begins with !
-- Returns {jobs looked at, then for each job put back: request id, the state it was in (no_spec: not put back, for
--   its spec is lost too; the caller fails it)}
local extra, streams, lost = {}, {}, {}
for i = 15, #KEYS do
  extra[i] = 'stream'
  local name = string.gsub(ARGV[i - 12], '^!', '')
  streams[name] = KEYS[i]
  lost[name] = name ~= ARGV[i - 12]
end
local bad = wrong_type(extra)
if bad then return bad end
pass_memory_limit()
local ids = redis.call('ZRANGE', OUTSTANDING, ARGV[1], ARGV[1] + ARGV[2] - 1)
local answer, batch_alive, touched = { #ids }, {}, false
local function alive(id, row)
  if row.state == 'queued' then return exists(STREAM, row.entry) end
  if row.state == 'retrying' then return redis.call('ZSCORE', RETRY, id) end
  if row.state == 'uploading' then
    local stream = streams[row.uploads or '']
    -- A spool that appeared after the caller listed them is not lost: the next audit names it.
    if not stream then return NOW - (row.handed_ms or 0) < 60000 end
    return not lost[row.uploads] and exists(stream, row.stage)
  end
  local batch_id = row.batch or ''
  if batch_alive[batch_id] == nil then
    local batch = load_batch(batch_id)
    batch_alive[batch_id] = batch and exists(BATCHES, batch.entry) or false
  end
  return batch_alive[batch_id]
end
for _, id in ipairs(ids) do
  local row = load_row(id)
  local spec = redis.call('HGET', SPECS, id)
  local final = row and FINAL[row.state]
  if final and spec and not has_record(id) then
    row, final = { v = 1, attempt = row.attempt, hash = row.hash, entry = row.entry }, false -- somebody edited it
  end
  if final or not row and (not spec or has_record(id)) then
    redis.call('ZREM', OUTSTANDING, id)
    redis.call('HDEL', SPECS, id)
    touched = true
  elseif not row or not alive(id, row) then
    answer[#answer + 1] = id
    answer[#answer + 1] = not spec and 'no_spec' or row and (STATES[row.state] and row.state or 'unreadable') or 'no_row'
  end
  if #answer > 1 and answer[#answer - 1] == id and spec then
    touched = true
    if row then leave(id, row, streams[row.uploads]) end
    to_stream(id, row or { v = 1, attempt = 0 }, spec, 'audit')
  end
end
if touched then finish() end
return answer
