-- Pass finished jobs from a batch's holder to the uploaders of its spool.
-- KEYS[1..14] the job keys
-- KEYS[15] the spool's uploads stream
-- KEYS[16] the set of spools
-- ARGV[1] batch id
-- ARGV[2] token
-- ARGV[3] spool name
-- ARGV[4..] pairs: request id, payload (opaque JSON: files, sizes, checksums, timings)
-- Returns for each job: ok | already (an earlier call did it) | stale
local bad = wrong_type({ [15] = 'stream', [16] = 'set' })
if bad then return bad end
pass_memory_limit()
local answer, written = {}, false
for i = 4, #ARGV, 2 do
  local id, row = ARGV[i], load_row(ARGV[i])
  if held(row, 'batch', ARGV[1], ARGV[2]) then
    if not written then redis.call('SADD', KEYS[16], ARGV[3]) end
    written = true
    row.stage = redis.call('XADD', KEYS[15], '*', 'request_id', id, 'upload', ARGV[i + 1])
    row.uploads, row.token, row.handed_ms, row.handed_by = ARGV[3], nil, NOW, ARGV[1]
    enter(id, row, 'uploading', '')
    answer[#answer + 1] = 'ok'
  elseif row and row.handed_by == ARGV[1] and (row.state == 'uploading' or row.state == 'done') then
    answer[#answer + 1] = 'already'
  else
    answer[#answer + 1] = 'stale'
  end
end
if next(deltas) then finish() end
return answer
