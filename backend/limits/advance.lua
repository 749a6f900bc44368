-- Bring a window to the present second: what lies more than 60 seconds back is taken off the sums.
-- Returns its state: `now` (its present second), R and T (requests and tokens that count), r and t (those of the present second),
-- newest (the second of the newest call), and fresh (nothing is stored any more).
local function advance(window, seconds)
  local slot = seconds % 61
  local stored = redis.call('HMGET', window, 'l', 'R', 'T', 'n', 'o', 'r' .. slot, 't' .. slot)
  if not stored[1] then return {now = seconds, R = 0, T = 0, r = 0, t = 0, newest = seconds - 61, fresh = true} end
  local last, offset = tonumber(stored[1]), tonumber(stored[5] or 0)
  local state = {now = seconds + offset, R = tonumber(stored[2]), T = tonumber(stored[3]), newest = tonumber(stored[4])}
  if state.now < last then
    offset = offset + last - state.now
    state.now = last
    redis.call('HSET', window, 'o', offset)
  end
  if state.now == last then
    if offset ~= 0 then stored[6], stored[7] = unpack(redis.call('HMGET', window, 'r' .. last % 61, 't' .. last % 61)) end
    state.r, state.t = tonumber(stored[6] or 0), tonumber(stored[7] or 0)
    return state
  end
  if state.now - last > 60 then
    redis.call('DEL', window)
    return {now = seconds, R = 0, T = 0, r = 0, t = 0, newest = seconds - 61, fresh = true}
  end
  local names = {}
  for second = last + 1, state.now do
    names[#names + 1] = 'r' .. (second % 61)
    names[#names + 1] = 't' .. (second % 61)
  end
  local values = redis.call('HMGET', window, unpack(names))
  for index = 1, #values, 2 do
    state.R = state.R - tonumber(values[index] or 0)
    state.T = state.T - tonumber(values[index + 1] or 0)
  end
  redis.call('HDEL', window, unpack(names))
  redis.call('HSET', window, 'R', state.R, 'T', state.T, 'l', state.now)
  redis.call('EXPIRE', window, 130)
  state.r, state.t = 0, 0
  return state
end
