-- Settle stored jobs: acknowledge, delete and record, at once.
-- KEYS[1..14] the job keys
-- KEYS[15] the uploads stream
-- ARGV[1] the uploader's token
-- ARGV[2..] triples: request id, entry id on the uploads stream, record (opaque JSON)
-- Returns for each job: ok | stale
local bad = wrong_type({ [15] = 'stream' })
if bad then return bad end
pass_memory_limit()
local answer = {}
for i = 2, #ARGV, 3 do
  local id, entry, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local row = load_row(id)
  if held(row, 'upload', entry, ARGV[1]) then
    leave(id, row, KEYS[15])
    to_final(id, row, 'done', record, '')
    answer[#answer + 1] = 'ok'
  elseif row and row.state == 'done' and row.token == ARGV[1] then
    answer[#answer + 1] = 'ok'
  else
    answer[#answer + 1] = 'stale'
  end
end
if next(deltas) then finish() end
return answer
