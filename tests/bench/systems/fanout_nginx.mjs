// nginx with Lua, Debian's: subrequests by location.capture_multi, over kept connections.
import { startNginx } from "../nginx.mjs";
import { feedOptions } from "./fanout_feed.mjs";

export const name = "nginx-lua";
export const title = "nginx with Lua";
export { feedOptions as callerOptions };

// The answers are JSON already: they are joined, not read.
const SCRIPT = `
  local count = tonumber(ngx.var.arg_u)
  local query = "size=200&latency=" .. ngx.var.arg_l .. "ms&k=" .. ngx.var.arg_k .. "&n="
  local requests = {}
  for n = 1, count do
    requests[n] = {"/upstream", {args = query .. n}}
  end
  local answers = {ngx.location.capture_multi(requests)}
  local members = {}
  for n = 1, count do
    if answers[n].status ~= 200 or answers[n].truncated then
      return ngx.exit(502)
    end
    members[n] = '"u' .. n .. '":' .. answers[n].body
  end
  local body = "{" .. table.concat(members, ",") .. "}"
  ngx.header.content_type = "application/json"
  ngx.header.content_length = #body
  ngx.print(body)
`;

function http(port, upstream) {
  return `
  upstream upstream {
    server 127.0.0.1:${upstream.port};
    keepalive 5120;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port};
    location = /feed {
      content_by_lua_block {${SCRIPT}}
    }
    location = /upstream {
      internal;
      proxy_pass http://upstream/json;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
`;
}

// One worker, as the other systems have one loop.
export function start(bench, upstream) {
  return startNginx(bench, {
    modules: ["ndk_http_module.so", "ngx_http_lua_module.so"],
    http: (port) => http(port, upstream),
  });
}
