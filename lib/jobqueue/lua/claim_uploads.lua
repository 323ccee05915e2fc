-- Become the holder of upload entries that this consumer has read or reclaimed.
-- KEYS[1..14] the job keys
-- KEYS[15] the uploads stream
-- ARGV[1] consumer
-- ARGV[2] token: 128 random bits, made by the claimer for this claim
-- ARGV[3..] pairs: entry id, request id
-- Returns for each entry: its row as JSON, '' when it is another consumer's, or 'gone' (settled; acknowledged here)
local bad = wrong_type({ [15] = 'stream' })
if bad then return bad end
pass_memory_limit()
local answer = {}
for i = 3, #ARGV, 2 do
  local entry, id = ARGV[i], ARGV[i + 1]
  local pending = redis.call('XPENDING', KEYS[15], UPLOADERS, entry, entry, 1)[1]
  if not pending or pending[2] ~= ARGV[1] then
    answer[#answer + 1] = ''
  else
    local row = load_row(id)
    if row and row.state == 'uploading' and row.stage == entry then
      row.token = ARGV[2]
      save_row(id, row)
      answer[#answer + 1] = cjson.encode(row)
    else
      drop(KEYS[15], UPLOADERS, entry)
      answer[#answer + 1] = 'gone'
    end
  end
end
return answer
