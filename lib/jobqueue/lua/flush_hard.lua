-- Forget every record, row, history, count and event, once no job is outstanding.
-- KEYS[1..14] the job keys
-- Returns {'flushed', done records, failed records}, or {'busy', outstanding jobs} with nothing changed: a job that
--   was accepted meanwhile must not lose its row
local bad = wrong_type()
if bad then return bad end
local outstanding = redis.call('ZCARD', OUTSTANDING)
if outstanding > 0 then return { 'busy', outstanding } end
local answer = { 'flushed', redis.call('HLEN', RESULT), redis.call('HLEN', FAILED) }
-- UNLINK frees a large hash in the background: this is one short step, whatever they hold.
redis.call('UNLINK', RESULT, FAILED, INDEX, SPECS, DONE_HISTORY, FAILED_HISTORY, COUNTERS, EVENTS)
return answer
