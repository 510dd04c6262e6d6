-- One call: grant, limits and claim in one round trip. Every key holds the same hash tag, the user.
-- KEYS: the grant; one for each limit; the claim, if there is one.
-- ARGV: what is known of the grant, the time at which that was asked (µs, as this script gave it), for how long it
-- is remembered (ms) and how late it may come (µs); how many limits; for each its burst, its interval (µs) and
-- whether it counts; then, for a claim, its digest, its attempt and for how long it is held (ms).
-- The time is this server's, so that replicas whose clocks differ agree.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local grant = redis.call('GET', KEYS[1])
if grant and string.sub(grant, 1, 6) == 'ended:' then return {'ended'} end
if not grant then
    if ARGV[1] == '' then return {'unknown', string.format('%.0f', now)} end
    grant = ARGV[1]
    -- What was read long ago may have been overtaken by an end whose mark is lost.
    if now - ARGV[2] <= tonumber(ARGV[4]) then redis.call('SET', KEYS[1], grant, 'PX', ARGV[3]) end
end

local count = tonumber(ARGV[5])
local arrivals, standings, exceeded, wait = {}, {}, 0, 0
for i = 1, count do
    local burst, interval = tonumber(ARGV[3 * i + 3]), tonumber(ARGV[3 * i + 4])
    local window = burst * interval
    local arrival = math.min(math.max(tonumber(redis.call('GET', KEYS[i + 1]) or now), now), now + window)
    arrivals[i] = arrival
    local over = arrival + interval - now - window
    if ARGV[3 * i + 5] == '1' and over > wait then
        exceeded, wait = i, over
    end
end
for i = 1, count do
    local burst, interval = tonumber(ARGV[3 * i + 3]), tonumber(ARGV[3 * i + 4])
    if exceeded == 0 and ARGV[3 * i + 5] == '1' then
        arrivals[i] = arrivals[i] + interval
        redis.call('SET', KEYS[i + 1], string.format('%.0f', arrivals[i]),
            'PX', string.format('%.0f', math.ceil((arrivals[i] - now) / 1000)))
    end
    local ahead = arrivals[i] - now
    standings[2 * i - 1] = string.format('%.0f', math.floor((burst * interval - ahead) / interval))
    standings[2 * i] = string.format('%.0f', ahead)
end
if exceeded > 0 then
    return {'limited', tostring(exceeded), string.format('%.0f', wait), unpack(standings)}
end

local said, result = 'none', ''
local claim = KEYS[count + 2]
if claim then
    local digest, attempt, held = ARGV[3 * count + 6], ARGV[3 * count + 7], ARGV[3 * count + 8]
    local record = redis.call('HMGET', claim, 'digest', 'result', 'attempt')
    if not record[1] then
        redis.call('HSET', claim, 'digest', digest, 'attempt', attempt)
        redis.call('PEXPIRE', claim, held)
        said = 'run'
    elseif not record[2] then
        -- Its own claim, when this script is run a second time after a lost answer.
        said = record[3] == attempt and 'run' or 'busy'
    elseif record[1] == digest then
        said, result = 'done', record[2]
    else
        said = 'mismatch'
    end
end
return {'in', grant, said, result, unpack(standings)}
