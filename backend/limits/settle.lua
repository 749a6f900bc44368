-- A call is over: correct its tokens in the second in which they were reserved and free its slots. Running it twice for a call would
-- correct twice, so its caller runs it once; a window or a day that has passed, or was lost, is left alone.
--
-- KEYS: window, slots, day for each scope
-- ARGV: call id, then for each scope: the second of the reservation, tokens to add, the day's number (0 = no quota), tokens to add to it

local seconds = tonumber(redis.call('TIME')[1])

--ADVANCE--

for index = 1, #KEYS / 3 do
  local window, slots, day = KEYS[index * 3 - 2], KEYS[index * 3 - 1], KEYS[index * 3]
  local second, more = tonumber(ARGV[index * 4 - 2]), tonumber(ARGV[index * 4 - 1])
  local number, more_today = tonumber(ARGV[index * 4]), tonumber(ARGV[index * 4 + 1])
  if more ~= 0 then
    local state = advance(window, seconds)
    if not state.fresh and second > state.now - 61 and second <= state.now then
      local slot = 't' .. (second % 61)
      local there = second == state.now and state.t or tonumber(redis.call('HGET', window, slot) or 0)
      more = math.max(more, -there)
      redis.call('HSET', window, slot, there + more, 'T', state.T + more)
    end
  end
  redis.call('ZREM', slots, ARGV[1])
  if number > 0 and more_today ~= 0 then
    local seen = redis.call('HMGET', day, 'd', 't')
    if seen[1] and tonumber(seen[1]) == number then
      redis.call('HSET', day, 't', math.max(0, tonumber(seen[2]) + more_today))
    end
  end
end
return redis.status_reply('OK')
