-- Put jobs back on the jobs stream at no cost to their attempts: the box, the holder or a spool file was lost.
-- KEYS[1..14] the job keys
-- KEYS[15] the uploads stream the jobs lie on (any, when they lie on none)
-- ARGV[1] kind of holder: batch | upload
-- ARGV[2] the holder's token
-- ARGV[3..] sextuples: request id, holder, losses to add, crashes to add, 1 when it must go alone, reason
-- Returns for each job: ok | stale
local bad = wrong_type({ [15] = 'stream' })
if bad then return bad end
pass_memory_limit()
local answer = {}
for i = 3, #ARGV, 6 do
  local id, row = ARGV[i], load_row(ARGV[i])
  local spec = row and redis.call('HGET', SPECS, id)
  if spec and held(row, ARGV[1], ARGV[i + 1], ARGV[2]) then
    leave(id, row, KEYS[15])
    row.token = ARGV[2]
    row.lost = (row.lost or 0) + tonumber(ARGV[i + 2])
    row.crashes = (row.crashes or 0) + tonumber(ARGV[i + 3])
    if ARGV[i + 4] == '1' then row.alone = 1 end
    to_stream(id, row, spec, ARGV[i + 5])
    answer[#answer + 1] = 'ok'
  elseif row and row.state == 'queued' and row.token == ARGV[2] then
    answer[#answer + 1] = 'ok'
  else
    answer[#answer + 1] = 'stale'
  end
end
if next(deltas) then finish() end
return answer
