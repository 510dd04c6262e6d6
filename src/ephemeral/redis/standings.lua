-- KEYS: one for each limit of a user's client. ARGV: of each its burst and its interval (µs). Counts nothing.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local standings = {}
for i = 1, #KEYS do
    local burst, interval = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local window = burst * interval
    local arrival = math.min(math.max(tonumber(redis.call('GET', KEYS[i]) or now), now), now + window)
    local ahead = arrival - now
    standings[2 * i - 1] = string.format('%.0f', math.floor((window - ahead) / interval))
    standings[2 * i] = string.format('%.0f', ahead)
end
return standings
