-- For wrk: asks for a path of one device after another, and prints one line of JSON in the end.
-- Arguments: a token or "-", a path with %d where the device's number goes, and how many devices there are.
local requests = {}
local at = 0

function init(args)
  local headers = { ["Host"] = wrk.host }
  if args[1] ~= "-" then headers["Authorization"] = "Bearer " .. args[1] end
  for n = 0, tonumber(args[3]) - 1 do
    requests[n + 1] = wrk.format("GET", (args[2]:gsub("%%d", n)), headers)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.3f,"p50":%.3f,"p95":%.3f,"p99":%.3f,"failed":%d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
