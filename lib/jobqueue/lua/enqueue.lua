-- Accept jobs, once for each request id.
-- KEYS[1..14] the job keys
-- ARGV[1] nonce of this call: a repeat after a lost reply gets the first answer
-- ARGV[2..] triples: request id, content hash, spec (opaque JSON)
-- Returns for each job: queued | duplicate_request | already_done, and the content hash known for that id ('' if none)
local bad = wrong_type()
if bad then return bad end
local nonce, answer, seen = ARGV[1], {}, {}
for i = 2, #ARGV, 3 do
  local id, hash, spec = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local row = load_row(id)
  local status
  if row and row.nonce == nonce and not seen[id] then
    status = 'queued'
  elseif row and row.state == 'done' then
    status = 'already_done'
  elseif (not row or row.legacy) and redis.call('HEXISTS', RESULT, id) == 1 then
    status = 'already_done'
  elseif row or redis.call('HEXISTS', FAILED, id) == 1 then
    status = 'duplicate_request'
  else
    status = 'queued'
    to_stream(id, { v = 1, attempt = 0, hash = hash, nonce = nonce }, spec, 'enqueued')
  end
  seen[id] = true
  answer[#answer + 1] = status
  answer[#answer + 1] = row and row.hash or ''
end
if next(deltas) then finish() end
return answer
