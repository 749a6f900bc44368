-- Bring a window to the present second: what lies more than 60 seconds back is taken off the sums.
-- Returns the window's present second, requests, tokens, the second of the newest call, and whether nothing is stored any more.
local function advance(window, seconds)
  local state = redis.call('HMGET', window, 'l', 'R', 'T', 'n', 'o')
  if not state[1] then return seconds, 0, 0, seconds - 61, true end
  local last, R, T, newest = tonumber(state[1]), tonumber(state[2]), tonumber(state[3]), tonumber(state[4])
  local offset = tonumber(state[5] or 0)
  local now = seconds + offset
  if now < last then
    redis.call('HSET', window, 'o', offset + last - now)
    return last, R, T, newest, false
  end
  if now == last then return now, R, T, newest, false end
  if now - last > 60 then
    redis.call('DEL', window)
    return seconds, 0, 0, seconds - 61, true
  end
  local names = {}
  for second = last + 1, now do
    names[#names + 1] = 'r' .. (second % 61)
    names[#names + 1] = 't' .. (second % 61)
  end
  local values = redis.call('HMGET', window, unpack(names))
  for index = 1, #values, 2 do
    R = R - tonumber(values[index] or 0)
    T = T - tonumber(values[index + 1] or 0)
  end
  redis.call('HDEL', window, unpack(names))
  redis.call('HSET', window, 'R', R, 'T', T, 'l', now)
  redis.call('EXPIRE', window, 130)
  return now, R, T, newest, false
end
