-- Note that the synthesis of jobs has begun, so that a crash is counted against the job that was being spoken.
-- KEYS[1..14] the job keys
-- ARGV[1] batch id
-- ARGV[2] token
-- ARGV[3..] request ids
-- Returns for each job: ok | stale
local bad = wrong_type()
if bad then return bad end
pass_memory_limit()
local answer = {}
for i = 3, #ARGV do
  local row = load_row(ARGV[i])
  if held(row, 'batch', ARGV[1], ARGV[2]) then
    if row.state ~= 'speaking' then
      row.speaking_ms = NOW
      enter(ARGV[i], row, 'speaking', '')
    end
    answer[#answer + 1] = 'ok'
  else
    answer[#answer + 1] = 'stale'
  end
end
if next(deltas) then finish() end
return answer
