-- Accept jobs, once for each request id.
-- KEYS[1..14] the job keys
-- ARGV[1] nonce of this call: a repeat after a lost reply gets the first answer
-- ARGV[2..] triples, at most 1000: request id, content hash, spec (opaque JSON)
-- Returns for each job: queued | duplicate_request | already_done, and the content hash known for that id ('' if none)
local bad = wrong_type()
if bad then return bad end
local nonce, ids = ARGV[1], {}
for i = 2, #ARGV, 3 do ids[#ids + 1] = ARGV[i] end
if #ids == 0 then return {} end

-- One read for all of them, and below one write for all: most of the time of a script is its redis.call's.
local rows, unknown = redis.call('HMGET', INDEX, unpack(ids)), {}
for at, id in ipairs(ids) do
  rows[at] = decode_row(rows[at])
  if not rows[at] or rows[at].legacy then unknown[#unknown + 1] = id end
end
local results, failures = {}, {}
if #unknown > 0 then
  local done, failed = redis.call('HMGET', RESULT, unpack(unknown)), redis.call('HMGET', FAILED, unpack(unknown))
  for at, id in ipairs(unknown) do results[id], failures[id] = done[at], failed[at] end
end

local answer, seen, specs, index, outstanding = {}, {}, {}, {}, {}
local function accept(at, id)
  local row = { v = 1, state = 'queued', attempt = 0, hash = ARGV[at * 3], nonce = nonce, queued_ms = NOW, at_ms = NOW,
    reason = 'enqueued' }
  row.entry = redis.call('XADD', STREAM, '*', 'job', ARGV[at * 3 + 1])
  event(id, row, row.reason)
  local n = #index
  index[n + 1], index[n + 2] = id, cjson.encode(row)
  specs[n + 1], specs[n + 2] = id, ARGV[at * 3 + 1]
  outstanding[n + 1], outstanding[n + 2] = NOW, id
  bump('queued', 1)
  return row
end
for at, id in ipairs(ids) do
  local row, known = rows[at] or seen[id], nil
  local status
  if seen[id] then
    status = (row.state == 'done' or results[id]) and 'already_done' or 'duplicate_request'
  elseif row and row.nonce == nonce then
    status, known = 'queued', ''
  elseif row and row.state == 'done' or results[id] then
    status = 'already_done'
  elseif row or failures[id] then
    status = 'duplicate_request'
  else
    status, known = 'queued', ''
    row = accept(at, id)
  end
  seen[id] = row or { state = '' }
  answer[#answer + 1] = status
  answer[#answer + 1] = known or row and type(row.hash) == 'string' and row.hash or ''
end
if #index > 0 then
  redis.call('HSET', SPECS, unpack(specs))
  redis.call('HSET', INDEX, unpack(index))
  redis.call('ZADD', OUTSTANDING, unpack(outstanding))
  finish()
end
return answer
