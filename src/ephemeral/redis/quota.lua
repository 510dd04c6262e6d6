-- KEYS: the meter. ARGV: burst, interval (µs), how to use it: 'count', 'peek' or 'refund'.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local burst, interval = tonumber(ARGV[1]), tonumber(ARGV[2])
local window = burst * interval
local held = redis.call('GET', KEYS[1])
local arrival = math.min(math.max(tonumber(held or now), now), now + window)
if ARGV[3] == 'refund' then
    if held then
        arrival = arrival - interval
        if arrival > now then
            redis.call('SET', KEYS[1], string.format('%.0f', arrival),
                'PX', string.format('%.0f', math.ceil((arrival - now) / 1000)))
        else
            redis.call('DEL', KEYS[1])
        end
    end
    return {'0', '0'}
end
local over = arrival + interval - now - window
if over > 0 then return {'0', string.format('%.0f', over)} end
arrival = arrival + interval
if ARGV[3] == 'count' then
    redis.call('SET', KEYS[1], string.format('%.0f', arrival),
        'PX', string.format('%.0f', math.ceil((arrival - now) / 1000)))
end
return {string.format('%.0f', math.floor((window - (arrival - now)) / interval)), '0'}
