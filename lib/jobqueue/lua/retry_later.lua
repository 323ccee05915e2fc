-- Schedule another attempt of jobs whose attempt failed for a reason that may pass.
-- KEYS[1..14] the job keys
-- KEYS[15] the uploads stream the jobs lie on (any, when they lie on none)
-- ARGV[1] kind of holder: batch | upload
-- ARGV[2] the holder's token
-- ARGV[3..] quadruples: request id, holder, delay in ms, reason
-- Returns for each job: ok | stale
local bad = wrong_type({ [15] = 'stream' })
if bad then return bad end
pass_memory_limit()
local answer = {}
for i = 3, #ARGV, 4 do
  local id, holder, delay, reason = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local row = load_row(id)
  if held(row, ARGV[1], holder, ARGV[2]) then
    leave(id, row, KEYS[15])
    redis.call('ZADD', RETRY, (NOW + delay) / 1000, id)
    row.token, row.attempt = ARGV[2], (row.attempt or 0) + 1
    row.entry, row.batch, row.stage, row.uploads = nil, nil, nil, nil
    enter(id, row, 'retrying', reason)
    answer[#answer + 1] = 'ok'
  elseif row and row.state == 'retrying' and row.token == ARGV[2] then
    answer[#answer + 1] = 'ok'
  else
    answer[#answer + 1] = 'stale'
  end
end
if next(deltas) then finish() end
return answer
