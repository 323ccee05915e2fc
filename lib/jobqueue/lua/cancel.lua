-- Settle an unfinished job as cancelled (an operator's move); its holder learns of it at its next renewal.
-- KEYS[1..14] the job keys
-- KEYS[15] the uploads stream the job lies on (any, when it lies on none)
-- ARGV[1] request id
-- ARGV[2] spool the caller saw in the row ('' when none)
-- ARGV[3] record (opaque JSON)
-- Returns cancelled | unknown | moved (onto another spool meanwhile: look again) | the final state it already has
local bad = wrong_type({ [15] = 'stream' })
if bad then return bad end
pass_memory_limit()
local id, row = ARGV[1], load_row(ARGV[1])
if not row then return 'unknown' end
if FINAL[row.state] then return row.state end
if (row.uploads or '') ~= ARGV[2] then return 'moved' end
leave(id, row, KEYS[15])
row.token = nil
to_final(id, row, 'cancelled', ARGV[3], 'cancelled')
finish()
return 'cancelled'
