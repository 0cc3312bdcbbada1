// Debian's nginx in a folder of its own. What costs it time and has nothing to do with what is
// measured is off or without a limit.
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";

import { Program } from "./program.mjs";

const NGINX = "/usr/sbin/nginx";
const MODULES = "/usr/lib/nginx/modules";

// For servers that cannot choose one and say which.
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function config({ modules, workers, http }) {
  return `
${modules.map((module) => `load_module ${MODULES}/${module};`).join("\n")}
user ${userInfo().username};
worker_processes ${workers};
daemon off;
pid nginx.pid;
error_log stderr notice;
events { worker_connections 20000; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_buffer_size 64k;
  client_body_temp_path temp;
  proxy_temp_path temp;
  fastcgi_temp_path temp;
  uwsgi_temp_path temp;
  scgi_temp_path temp;
${http}
}
`;
}

function childrenOf(pid) {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
}

// http: given a port, what stands in the block of that name.
export async function startNginx(bench, { modules, workers = 1, http }) {
  const directory = mkdtempSync(join(bench.directory, "nginx-"));
  const port = await freePort();
  mkdirSync(join(directory, "temp"));
  writeFileSync(join(directory, "nginx.conf"), config({ modules, workers, http: http(port) }));
  const options = ["-p", `${directory}/`, "-c", "nginx.conf", "-e", "stderr"];
  const program = new Program("nginx", NGINX, options, { killSignal: "SIGTERM" });
  await program.line(/start worker process \d+$/);
  return {
    program,
    port,
    pids: () => [program.pid, ...childrenOf(program.pid)],
    stop: () => program.terminate(),
  };
}
