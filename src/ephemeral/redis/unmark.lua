-- KEYS: a grant. ARGV: the mark that one attempt to end it left; the mark of another stays.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
