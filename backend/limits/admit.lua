-- Let one call in under all its limits, or refuse it and count nothing. One run, so nobody comes between the look and the taking.
--
-- A scope has three keys: `window`, a hash with a ring of 61 seconds (fields r<slot>, t<slot>) and their sums R and T, advanced to
-- second `l`; `slots`, a sorted set of running calls by the millisecond in which their lease ends; `day`, a hash with today's counts.
-- Time is this server's. Should it step back, `o` keeps the window's own time going on from where it was.
--
-- KEYS: window, slots, day for each scope
-- ARGV: call id, lease in ms, tokens, then for each scope: requests, tokens, parallel (0 = no limit), quota (0 none, 1 soft, 2 hard)
--       and with a quota: requests and tokens a day, the day's number, four edges (starts of yesterday … of the day after tomorrow),
--       and what the ledger knows of the day: requests, tokens
-- Answer: "1 soft" or "0 wait_ms scope unit", then for each scope "second requests tokens newest day"; soft is 0, or the scope and unit of
--       a used-up soft quota; units count from 1 as in the code that reads this.

local time = redis.call('TIME')
local seconds, millis = tonumber(time[1]), math.floor(tonumber(time[2]) / 1000)
local now_ms = seconds * 1000 + millis
local id, lease, want = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local at = 4

local function arg()
  at = at + 1
  return tonumber(ARGV[at - 1])
end

--ADVANCE--

local function wait_ms(window, field, used, room, now)
  -- From the oldest second on, until enough has left.
  local names = {}
  for second = now - 60, now do names[#names + 1] = field .. (second % 61) end
  local values = redis.call('HMGET', window, unpack(names))
  local second = now - 61
  for _, value in ipairs(values) do
    if used <= room then break end
    second = second + 1
    used = used - tonumber(value or 0)
  end
  return (second + 61 - now) * 1000 - millis
end

local scopes, worst, worst_scope, worst_unit, soft = {}, -1, 0, 0, '0'

local function refuse(wait, index, unit)
  if wait > worst then worst, worst_scope, worst_unit = wait, index, unit end
end

for index = 1, #KEYS / 3 do
  local window, slots, day = KEYS[index * 3 - 2], KEYS[index * 3 - 1], KEYS[index * 3]
  local scope = advance(window, seconds)
  scopes[index] = scope
  scope.window, scope.slots, scope.day = window, slots, day
  local requests, tokens, parallel, quota = arg(), arg(), arg(), arg()
  scope.take = (tokens > 0 and want > tokens) and tokens or want
  scope.parallel, scope.quota, scope.number = parallel, quota, 0
  if requests > 0 and scope.R >= requests then
    refuse(wait_ms(window, 'r', scope.R, requests - 1, scope.now), index, 1)
  end
  if tokens > 0 and scope.T + scope.take > tokens then
    refuse(wait_ms(window, 't', scope.T, tokens - scope.take, scope.now), index, 2)
  end
  if parallel > 0 then
    scope.running = redis.call('ZCARD', slots)
    if scope.running >= parallel then
      scope.running = scope.running - redis.call('ZREMRANGEBYSCORE', slots, '-inf', now_ms)
      if scope.running >= parallel then refuse(1000, index, 3) end
    end
  end
  if quota > 0 then
    local day_requests, day_tokens, number = arg(), arg(), arg()
    local edges = {arg(), arg(), arg(), arg()}
    local known_requests, known_tokens = arg(), arg()
    local ends = edges[3]
    if seconds < edges[2] then
      number, ends, known_requests, known_tokens = number - 1, edges[2], 0, 0
    elseif seconds >= edges[3] then
      number, ends, known_requests, known_tokens = number + 1, edges[4], 0, 0
    end
    local seen = redis.call('HMGET', day, 'd', 'r', 't')
    local dr, dt = 0, 0
    -- A clock that is set back around midnight must not give the day twice.
    if seen[1] and tonumber(seen[1]) >= number then number, dr, dt = tonumber(seen[1]), tonumber(seen[2]), tonumber(seen[3]) end
    dr, dt = math.max(dr, known_requests), math.max(dt, known_tokens)
    scope.number, scope.dr, scope.dt = number, dr, dt
    scope.day_take = (day_tokens > 0 and want > day_tokens) and day_tokens or want
    local unit = 0
    if day_requests > 0 and dr >= day_requests then unit = 4
    elseif day_tokens > 0 and dt + scope.day_take > day_tokens then unit = 5 end
    if unit > 0 and quota == 2 then refuse(math.max(1000, ends * 1000 - now_ms), index, unit)
    elseif unit > 0 and soft == '0' then soft = index .. ':' .. unit end
  end
end

local told = {worst < 0 and '1 ' .. soft or '0 ' .. worst .. ' ' .. worst_scope .. ' ' .. worst_unit}
for index, scope in ipairs(scopes) do
  local R, T = scope.R, scope.T
  if worst < 0 then
    local slot = scope.now % 61
    R, T = R + 1, T + scope.take
    redis.call('HSET', scope.window, 'l', scope.now, 'R', R, 'T', T, 'n', scope.now, 'r' .. slot, scope.r + 1, 't' .. slot, scope.t + scope.take)
    if scope.fresh then redis.call('EXPIRE', scope.window, 130) end
    scope.newest = scope.now
    if scope.parallel > 0 then
      redis.call('ZADD', scope.slots, now_ms + lease, id)
      -- Later renewals move the end on: whatever runs longer than one is renewed.
      if scope.running == 0 then redis.call('PEXPIRE', scope.slots, lease * 2) end
    end
    if scope.quota > 0 then
      redis.call('HSET', scope.day, 'd', scope.number, 'r', scope.dr + 1, 't', scope.dt + scope.day_take)
      redis.call('EXPIRE', scope.day, 200000)
    end
  end
  told[#told + 1] = string.format('%.0f %.0f %.0f %.0f %.0f', scope.now, R, T, scope.newest * 1000 + 61000 - scope.now * 1000 - millis, scope.number)
end
return redis.status_reply(table.concat(told, ' '))
