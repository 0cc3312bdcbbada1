// Nchan, Debian's: nginx with one module, its messages in shared memory.
import { certificate } from "../certificate.mjs";
import { startNginx } from "../nginx.mjs";

export const name = "nchan";
export const title = "Nchan";
export const can = { pings: true, tls: true };

function listen(port, tls) {
  const address = `listen 127.0.0.1:${port} backlog=4096`;
  if (!tls) {
    return `${address};`;
  }
  return `${address} ssl;
    ssl_certificate ${tls.cert};
    ssl_certificate_key ${tls.key};
    ssl_session_cache off;
    ssl_buffer_size 4k;`;
}

function http(port, { historySize, pingSeconds, tls }) {
  return `
  nchan_shared_memory_size 512m;
  server {
    ${listen(port, tls)}
    location ~ ^/sub/(.+)$ {
      nchan_subscriber websocket;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
      nchan_websocket_ping_interval ${pingSeconds}s;
    }
    location ~ ^/publish/(.+)$ {
      nchan_publisher;
      nchan_channel_id $1;
      nchan_store_messages ${historySize > 0 ? "on" : "off"};
      nchan_message_buffer_length ${historySize};
      nchan_message_timeout 5m;
    }
    location = /status { nchan_stub_status; }
  }
`;
}

export async function start(bench, { historySize = 0, pingSeconds = 25, tls = false, workers }) {
  const files = tls && certificate(bench.directory);
  const nginx = await startNginx(bench, {
    modules: ["ngx_nchan_module.so"],
    workers,
    http: (port) => http(port, { historySize, pingSeconds, tls: files }),
  });
  return { ...nginx, protocol: "websocket", path: "/sub/", publishPath: "/publish/", tls };
}

// What it says of itself.
export async function published({ port }) {
  const text = await (await fetch(`http://127.0.0.1:${port}/status`)).text();
  const match = /^total published messages: (\d+)$/m.exec(text);
  if (!match) {
    throw new Error(`nchan_stub_status said:\n${text}`);
  }
  return Number(match[1]);
}
