-- The load of the measure "publish", for wrk:
--   wrk -s publish.lua URL -- SYSTEM CHANNELS DATA [KEY]
-- SYSTEM is belfry or nchan; DATA is published to each of CHANNELS channels in turn. One JSON line
-- tells what came of it.

local make = {
  belfry = function(channel, data, key)
    local body = string.format('{"channel":"bench:%d","data":%s}', channel, data)
    return "/api/publish", { ["Content-Type"] = "application/json", ["X-API-Key"] = key }, body
  end,
  nchan = function(channel, data)
    return "/publish/" .. channel, { ["Content-Type"] = "application/json" }, data
  end,
}

function init(args)
  local n_channels = tonumber(args[2])
  if n_channels == 1 then -- without a function request(), wrk sends one text again and again
    wrk.method = "POST"
    local headers
    wrk.path, headers, wrk.body = make[args[1]](1, args[3], args[4])
    for name, value in pairs(headers) do
      wrk.headers[name] = value
    end
    return
  end
  local texts = {}
  for channel = 1, n_channels do
    local path, headers, body = make[args[1]](channel, args[3], args[4])
    headers.Host = wrk.headers.Host
    texts[channel] = wrk.format("POST", path, headers, body)
  end
  local i = 0
  function request()
    i = i % n_channels + 1
    return texts[i]
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"broken":%d,"refused":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
