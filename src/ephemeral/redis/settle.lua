-- KEYS: the claim. ARGV: its digest, its attempt, 'done' or 'released', the result, how long it is remembered (ms).
if ARGV[3] == 'done' then
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'result', ARGV[4])
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
elseif redis.call('HGET', KEYS[1], 'attempt') == ARGV[2] then
    redis.call('DEL', KEYS[1])
end
return 1
