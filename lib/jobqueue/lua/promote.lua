-- Put jobs whose retry is due back on the jobs stream.
-- KEYS[1..14] the job keys
-- ARGV[1..] quadruples: member of the retry set, request id, spec for a member that an older version wrote ('' else),
--   failed record for the case that no spec is left
-- Returns for each member: ok | early | gone (not waiting any more) | no_spec (failed, with that record)
local bad = wrong_type()
if bad then return bad end
pass_memory_limit()
local answer = {}
for i = 1, #ARGV, 4 do
  local member, id, spec, record = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local due = redis.call('ZSCORE', RETRY, member)
  local row = load_row(id)
  local kept = redis.call('HGET', SPECS, id)
  if not due then
    answer[#answer + 1] = 'gone'
  elseif tonumber(due) * 1000 > NOW then
    answer[#answer + 1] = 'early'
  elseif row and not row.legacy and row.state ~= 'retrying' or (not row or row.legacy) and has_record(id) then
    redis.call('ZREM', RETRY, member)
    answer[#answer + 1] = 'gone'
  elseif not kept and spec == '' then
    redis.call('ZREM', RETRY, member)
    to_final(id, row or { v = 1, attempt = 0 }, 'failed', record, 'spec_lost')
    answer[#answer + 1] = 'no_spec'
  else
    redis.call('ZREM', RETRY, member)
    to_stream(id, row or { v = 1, attempt = 0 }, kept or spec, 'retry_due')
    answer[#answer + 1] = 'ok'
  end
end
if next(deltas) then finish() end
return answer
