-- Prepended to every script that moves jobs. KEYS[1..14] are Keys.job_keys(), in this order.
local INDEX, SPECS, STREAM, OUTSTANDING, FIRST_QUEUED, RETRY, RESULT, FAILED, DONE_HISTORY, FAILED_HISTORY,
  COUNTERS, EVENTS, BATCHES, BATCH_INDEX = unpack(KEYS, 1, 14)
local KEY_TYPES = { 'hash', 'hash', 'stream', 'zset', 'string', 'zset', 'hash', 'hash', 'zset', 'zset',
  'hash', 'stream', 'stream', 'hash' }
local WATCHERS, PROVISIONERS, UPLOADERS = 'watchers', 'provisioners', 'uploaders'
local EVENTS_CAP = 20000
local IN_BATCH = { dispatched = true, speaking = true }
local FINAL = { done = true, failed = true, cancelled = true }

-- Redis does not roll a script back: every type is checked before the first write.
local function wrong_type(extra)
  for i, want in ipairs(KEY_TYPES) do
    local have = redis.call('TYPE', KEYS[i]).ok
    if have ~= 'none' and have ~= want then
      return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' holds a ' .. have .. ', expected a ' .. want)
    end
  end
  for i, want in pairs(extra or {}) do
    local have = redis.call('TYPE', KEYS[i]).ok
    if have ~= 'none' and have ~= want then
      return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' holds a ' .. have .. ', expected a ' .. want)
    end
  end
  return nil
end

-- Redis at its memory limit refuses a script's first write, unless that write frees memory; what follows it passes.
-- Moves that carry accepted work forward open with this no-op, so that a full Redis drains. Enqueue does not.
local function pass_memory_limit() redis.call('XACK', STREAM, WATCHERS, '0-1') end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local NOW = now_ms()

-- What a row may hold, for other hands can edit it: a field of another kind is dropped, and then reads as missing. One
-- odd row must never end a script with an error, or it keeps every other job of that call from moving, for ever.
local NUMBERS = { attempt = true, lost = true, crashes = true, alone = true, losses = true, queued_ms = true,
  at_ms = true, handed_ms = true, speaking_ms = true, dispatched_ms = true, claimed_ms = true, made_ms = true }
local ENTRIES = { entry = true, stage = true }
local STATES = { queued = true, dispatched = true, speaking = true, uploading = true, retrying = true, done = true,
  failed = true, cancelled = true, open = true }
local function is_entry(text)
  local ms, number = string.match(text, '^(%d+)%-(%d+)$')
  return text == '' or ms ~= nil and #ms < 20 and #number < 20
end
local function sound(name, value)
  local kind = type(value)
  if kind == 'number' then
    return (name == 'v' or NUMBERS[name] == true) and value >= 0 and value < 1e14 -- as unix ms: the year 5138
  elseif kind == 'string' then
    return name ~= 'ids' and not NUMBERS[name] and (not ENTRIES[name] or is_entry(value))
  elseif name == 'ids' and kind == 'table' then
    for i = 1, #value do if type(value[i]) ~= 'string' then return false end end
    return true
  end
  return false
end

-- A row is flat JSON of ours. Older versions wrote the bare state word: read as a row without an entry. This looks at
-- the state only, for who reads no more than that of many rows; all others want `parse_row`.
local function decode_row(raw)
  if not raw then return nil end
  if string.sub(raw, 1, 1) == '{' then
    local ok, row = pcall(cjson.decode, raw)
    if ok and type(row) == 'table' and STATES[row.state] then
      row.legacy = nil
      return row
    end
  end
  return { state = raw, legacy = 1, entry = '', attempt = 0 }
end

local function parse_row(raw)
  local row = decode_row(raw)
  if row and not row.legacy then
    for name, value in pairs(row) do
      if not sound(name, value) then row[name] = nil end
    end
  end
  return row
end

-- A final record may be there without a row: older versions wrote some.
local function has_record(id)
  return redis.call('HEXISTS', RESULT, id) == 1 or redis.call('HEXISTS', FAILED, id) == 1
end

local function load_row(id) return parse_row(redis.call('HGET', INDEX, id)) end
local function load_batch(batch_id)
  local batch = parse_row(redis.call('HGET', BATCH_INDEX, batch_id))
  if batch then
    batch.entry, batch.token, batch.consumer = batch.entry or '', batch.token or '', batch.consumer or ''
    batch.losses, batch.ids = batch.losses or 0, batch.ids or {}
  end
  return batch
end
local function save_row(id, row) redis.call('HSET', INDEX, id, cjson.encode(row)) end
local function save_batch(batch_id, row) redis.call('HSET', BATCH_INDEX, batch_id, cjson.encode(row)) end

local deltas = {}
local function bump(name, by) deltas[name] = (deltas[name] or 0) + by end

-- Events inform; a stream of them that takes no more (a stranger wrote the last possible id) must not stop the move
-- that it tells of, half-way.
local function event(id, row, reason)
  redis.pcall('XADD', EVENTS, 'MAXLEN', '~', EVENTS_CAP, '*', 'request_id', id, 'state', row.state,
    'attempt', row.attempt or 0, 'batch', row.batch or '', 'reason', reason or '')
end

-- Puts the row into a state, with the counters and the event that go with it.
local function enter(id, row, state, reason)
  if row.state and not row.legacy then bump(row.state, -1) end
  row.legacy = nil
  row.state = state
  row.at_ms = NOW
  row.reason = reason
  bump(state, 1)
  save_row(id, row)
  event(id, row, reason)
end

-- Days since 1970 to a civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
local function iso(ms)
  local seconds = math.floor(ms / 1000)
  local z = math.floor(seconds / 86400) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  local s = seconds % 86400
  return string.format('%04d-%02d-%02dT%02d:%02d:%02dZ', year, month, day, math.floor(s / 3600),
    math.floor(s % 3600 / 60), s % 60)
end

-- The last step of every script that moved something.
local function finish()
  for name, by in pairs(deltas) do
    if by ~= 0 then redis.call('HINCRBY', COUNTERS, name, by) end
  end
  local oldest = redis.call('ZRANGE', OUTSTANDING, 0, 0, 'WITHSCORES')
  if oldest[2] then
    redis.call('SET', FIRST_QUEUED, iso(tonumber(oldest[2])))
  else
    redis.call('DEL', FIRST_QUEUED)
  end
end

-- Acknowledge and delete are one: a work stream holds exactly the outstanding work. XACK comes first, because it
-- is allowed on a Redis at its memory limit, and whatever follows a first write in a script then is too.
local function drop(stream, group, entry)
  if entry and entry ~= '' then
    redis.call('XACK', stream, group, entry)
    redis.call('XDEL', stream, entry)
  end
end

local function exists(stream, entry)
  return entry and entry ~= '' and #redis.call('XRANGE', stream, entry, entry) > 0
end

-- Puts a job (back) on the jobs stream.
local function to_stream(id, row, spec, reason)
  row.entry = redis.call('XADD', STREAM, '*', 'job', spec)
  row.batch, row.stage, row.uploads = nil, nil, nil
  redis.call('HSET', SPECS, id, spec)
  row.queued_ms = row.queued_ms or NOW
  redis.call('ZADD', OUTSTANDING, row.queued_ms, id)
  enter(id, row, 'queued', reason)
end

-- Writes a final record; the caller has dropped the stage entries already.
local function to_final(id, row, state, record, reason)
  if state == 'done' then
    redis.call('HSET', RESULT, id, record)
    redis.call('ZADD', DONE_HISTORY, NOW, id)
  else
    redis.call('HSET', FAILED, id, record)
    redis.call('ZADD', FAILED_HISTORY, NOW, id)
  end
  redis.call('HDEL', SPECS, id)
  redis.call('ZREM', OUTSTANDING, id)
  row.entry, row.batch, row.stage, row.uploads = nil, nil, nil, nil
  enter(id, row, state, reason)
end

-- Decoded once a call: a batch names all of its jobs, and a call may settle as many.
local batch_tokens = {}
local function batch_token(batch_id)
  if batch_tokens[batch_id] == nil then
    local batch = load_batch(batch_id)
    batch_tokens[batch_id] = batch and batch.token or ''
  end
  return batch_tokens[batch_id]
end

-- Fencing: does this holder still hold the job? `kind` is batch (holder = batch id), upload (holder = entry on the
-- uploads stream), entry (holder = entry on the jobs stream, undispatched) or lost (the audit's: whatever held it is gone).
local function held(row, kind, holder, token)
  if not row then return false end
  if kind == 'batch' then
    return token ~= '' and batch_token(holder) == token and row.batch == holder and IN_BATCH[row.state] == true
  elseif kind == 'upload' then
    return row.state == 'uploading' and row.stage == holder and row.token == token
  elseif kind == 'entry' then
    return row.state == 'queued' and row.entry == holder
  elseif kind == 'lost' then
    return not FINAL[row.state]
  end
  return false
end

-- Takes a job out of whatever holds it. `uploads` is the uploads stream's key, when the job lies on one.
local function leave(id, row, uploads)
  drop(STREAM, WATCHERS, row.entry)
  if row.state == 'uploading' and uploads then drop(uploads, UPLOADERS, row.stage) end
  if row.state == 'retrying' then redis.call('ZREM', RETRY, id) end
end
