-- Put undispatched jobs into a new batch, all of them or none.
-- KEYS[1..14] the job keys
-- KEYS[15] the watcher's lock
-- ARGV[1] the lock's value while this watcher holds it
-- ARGV[2] batch id
-- ARGV[3] header (opaque JSON for the provisioner)
-- ARGV[4..] pairs: request id, entry id
-- Returns {'ok'}, {'lost'} when the lock is another's, or {'stale', request ids that are no longer undispatched}
local bad = wrong_type({ [15] = 'string' })
if bad then return bad end
pass_memory_limit()
local batch_id = ARGV[2]
if redis.call('GET', KEYS[15]) ~= ARGV[1] then return { 'lost' } end
if redis.call('HEXISTS', BATCH_INDEX, batch_id) == 1 then return { 'ok' } end
local ids, rows, stale, seen = {}, {}, { 'stale' }, {}
for i = 4, #ARGV, 2 do
  local row = load_row(ARGV[i])
  if held(row, 'entry', ARGV[i + 1]) and not seen[ARGV[i]] then
    seen[ARGV[i]] = true
    ids[#ids + 1] = ARGV[i]
    rows[#rows + 1] = row
  else
    stale[#stale + 1] = ARGV[i]
  end
end
if #stale > 1 or #ids == 0 then return stale end
local entry = redis.call('XADD', BATCHES, '*', 'batch_id', batch_id, 'header', ARGV[3], 'jobs', cjson.encode(ids))
save_batch(batch_id, { v = 1, state = 'open', entry = entry, token = '', consumer = '', losses = 0, ids = ids,
  made_ms = NOW })
for i, id in ipairs(ids) do
  local row = rows[i]
  row.batch, row.token, row.dispatched_ms = batch_id, nil, NOW
  enter(id, row, 'dispatched', '')
end
finish()
return { 'ok' }
