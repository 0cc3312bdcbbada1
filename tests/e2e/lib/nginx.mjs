// Debian's nginx with examples/nginx.conf in front of a hub: the same file, but for addresses, and for what is in a folder of the
// test's own. Ended with the test.
//
//   const front = await startNginx(t, hub, { timeout: '2s' });     // timeout: instead of those of the file
//       front stands for the hub, over TLS: openSession(t, front), openStream(t, front, 'sse'), front.api(...), front.request(...)
//   front.plainPort        without TLS
//   nginxIsThere           false: it is not installed
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';

import { makeCertificate } from './certificate.mjs';
import { temporaryFolder } from './command.mjs';
import { startProcess } from './process.mjs';

const NGINX = '/usr/sbin/nginx';
export const nginxIsThere = existsSync(NGINX);

const EXAMPLE = new URL('../../../examples/nginx.conf', import.meta.url);

/** Two that are free now: nginx cannot say which one it has chosen. */
async function freePorts(n) {
  const servers = Array.from({ length: n }, () => net.createServer());
  await Promise.all(servers.map(server => new Promise(resolve => server.listen(0, '127.0.0.1', resolve))));
  const ports = servers.map(server => server.address().port);
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  return ports;
}

function replaced(text, replacements) {
  return replacements.reduce((result, [what, by]) => {
    if (!result.includes(what)) throw new Error(`examples/nginx.conf has no "${what}"`);
    return result.replaceAll(what, by);
  }, text);
}

async function configuration(hub, { certificate, ports: [plain, tls], timeout }) {
  const text = replaced(await readFile(EXAMPLE, 'utf8'), [
    ['worker_processes auto;', `worker_processes 1;\nuser ${userInfo().username};\npid nginx.pid;`],
    ['worker_rlimit_nofile 131072;', ''],
    ['worker_connections 65536;', 'worker_connections 256;'],
    ['http {\n', `http {\n${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path temp;\n`).join('')}access_log off;\n`],
    ['server hub:8000;', `server 127.0.0.1:${hub.port};`],
    ['listen 80;', `listen 127.0.0.1:${plain};`],
    ['listen 443 ssl http2;', `listen 127.0.0.1:${tls} ssl http2;`],
    ['/etc/nginx/certs/fullchain.pem', certificate.certFile],
    ['/etc/nginx/certs/privkey.pem', certificate.keyFile],
  ]);
  return timeout ? text.replaceAll(/(proxy_(?:read|send)_timeout) \w+;/g, `$1 ${timeout};`) : text;
}

function frontOf(hub, tlsPort, plainPort, ca) {
  const own = { port: tlsPort, plainPort, ca, key: hub.key, url: `https://127.0.0.1:${tlsPort}`, wsUrl: `wss://127.0.0.1:${tlsPort}/connection/websocket` };
  return Object.create(hub, Object.fromEntries(Object.entries(own).map(([name, value]) => [name, { value }])));
}

export async function startNginx(t, hub, { timeout } = {}) {
  const dir = await temporaryFolder(t);
  const certificate = await makeCertificate(dir);
  const ports = await freePorts(2);
  await mkdir(join(dir, 'temp'));
  await writeFile(join(dir, 'nginx.conf'), await configuration(hub, { certificate, ports, timeout }));
  const nginx = startProcess(NGINX, ['-p', `${dir}/`, '-c', 'nginx.conf', '-e', 'stderr', '-g', 'daemon off; error_log stderr notice;'], { label: 'nginx' });
  t.after(() => nginx.end('SIGTERM'));
  await nginx.waitForLine(line => line.includes('start worker process '));
  return frontOf(hub, ports[1], ports[0], certificate.ca);
}
