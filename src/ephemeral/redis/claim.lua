-- KEYS: the claim. ARGV: its digest, its attempt, for how long it is held (ms).
local record = redis.call('HMGET', KEYS[1], 'digest', 'result', 'attempt')
if not record[1] then
    redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'attempt', ARGV[2])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    return {'run', ''}
elseif not record[2] then
    -- Its own claim, when this script is run a second time after a lost answer.
    return {record[3] == ARGV[2] and 'run' or 'busy', ''}
elseif record[1] == ARGV[1] then
    return {'done', record[2]}
end
return {'mismatch', ''}
