-- Running calls hold on to their slots for another lease. One that is not there (this server lost it) is put back: the call does run.
--
-- KEYS: slots of one scope;  ARGV: lease in ms, call ids
local time = redis.call('TIME')
local ends = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[1])
for index = 2, #ARGV do redis.call('ZADD', KEYS[1], ends, ARGV[index]) end
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[1]) * 2)
return redis.status_reply('OK')
