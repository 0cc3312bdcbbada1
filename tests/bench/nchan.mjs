// Nchan, Debian's: nginx with one module, its messages in shared memory, in a folder of its own.
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";

import { Program } from "./program.mjs";

const MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so";
const NGINX = "/usr/sbin/nginx";

// What costs nginx time and has nothing to do with publishing is off or without a limit.
function config({ port, workers, historySize }) {
  return `
load_module ${MODULE};
user ${userInfo().username};
worker_processes ${workers};
daemon off;
pid nginx.pid;
error_log stderr notice;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_buffer_size 16k;
  client_body_temp_path temp;
  proxy_temp_path temp;
  fastcgi_temp_path temp;
  uwsgi_temp_path temp;
  scgi_temp_path temp;
  nchan_shared_memory_size 512m;
  server {
    listen 127.0.0.1:${port};
    location ~ ^/publish/(\\d+)$ {
      nchan_publisher;
      nchan_channel_id $1;
      nchan_store_messages on;
      nchan_message_buffer_length ${historySize};
      nchan_message_timeout 5m;
    }
    location = /status { nchan_stub_status; }
  }
}
`;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export async function startNchan(bench, { workers, historySize }) {
  const directory = join(bench.directory, `nchan-${workers}`);
  const port = await freePort();
  mkdirSync(join(directory, "temp"), { recursive: true });
  writeFileSync(join(directory, "nginx.conf"), config({ port, workers, historySize }));
  const options = ["-p", `${directory}/`, "-c", "nginx.conf", "-e", "stderr"];
  const program = new Program("nginx", NGINX, options, { killSignal: "SIGTERM" });
  await program.line(/start worker process \d+$/);
  return { program, port };
}

export async function publishedByNchan({ port }) {
  const text = await (await fetch(`http://127.0.0.1:${port}/status`)).text();
  const match = /^total published messages: (\d+)$/m.exec(text);
  if (!match) {
    throw new Error(`nchan_stub_status said:\n${text}`);
  }
  return Number(match[1]);
}
