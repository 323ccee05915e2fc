-- Requeue a job that ended failed or cancelled, for fresh attempts (an operator's move).
-- KEYS[1..14] the job keys
-- ARGV[1] request id
-- ARGV[2] the failed record as the caller read it
-- ARGV[3] spec (opaque JSON)
-- ARGV[4] content hash
-- ARGV[5] nonce of this call
-- Returns queued | already_done | not_failed | changed (the record is no longer the one read)
local bad = wrong_type()
if bad then return bad end
local id, row = ARGV[1], load_row(ARGV[1])
if row and row.nonce == ARGV[5] then return 'queued' end
if redis.call('HEXISTS', RESULT, id) == 1 then return 'already_done' end
local record = redis.call('HGET', FAILED, id)
if not record or (row and not row.legacy and row.state ~= 'failed' and row.state ~= 'cancelled') then
  return 'not_failed'
end
if record ~= ARGV[2] then return 'changed' end
redis.call('HDEL', FAILED, id)
redis.call('ZREM', FAILED_HISTORY, id)
local fresh = { v = 1, attempt = 0, hash = ARGV[4], nonce = ARGV[5] }
if row and not row.legacy then fresh.state = row.state end
to_stream(id, fresh, ARGV[3], 'retry')
finish()
return 'queued'
