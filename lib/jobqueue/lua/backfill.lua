-- Give final records that an older version wrote the row, the history entry and the count they lack.
-- KEYS[1..14] the job keys
-- ARGV[1] done | failed | cancelled
-- ARGV[2..] triples: request id, time of the record (unix ms), content hash
-- Returns how many were filled in
local bad = wrong_type()
if bad then return bad end
pass_memory_limit()
local state, filled = ARGV[1], 0
for i = 2, #ARGV, 3 do
  local id, row = ARGV[i], load_row(ARGV[i])
  local records = state == 'done' and RESULT or FAILED
  if (not row or row.legacy) and redis.call('HEXISTS', records, id) == 1 then
    redis.call('ZADD', state == 'done' and DONE_HISTORY or FAILED_HISTORY, ARGV[i + 1], id)
    save_row(id, { v = 1, state = state, attempt = 0, hash = ARGV[i + 2], at_ms = tonumber(ARGV[i + 1]) })
    bump(state, 1)
    filled = filled + 1
  end
end
if filled > 0 then finish() end
return filled
