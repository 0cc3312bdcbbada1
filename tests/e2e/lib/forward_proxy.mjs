// A small HTTP proxy: requests with an absolute URL, and tunnels by CONNECT.
//
//   const proxy = await startForwardProxy(t);
//   proxy.url         'http://127.0.0.1:PORT'
//   proxy.requests    [{ method, url, headers }] that it has passed on
//   proxy.tunnels     ['127.0.0.1:443', ...] that it was asked for
//   proxy.refuses = true    answers 403 to everything from now on
import http from 'node:http';
import net from 'node:net';

const OF_THE_CONNECTION = new Set(['connection', 'proxy-connection', 'keep-alive', 'host']);

function pass(incoming, outgoing) {
  const headers = Object.fromEntries(Object.entries(incoming.headers).filter(([name]) => !OF_THE_CONNECTION.has(name)));
  const onward = http.request(incoming.url, { method: incoming.method, headers, agent: false }, answer => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  onward.once('error', () => {
    if (!outgoing.headersSent) outgoing.writeHead(502);
    outgoing.end();
  });
  outgoing.once('close', () => onward.destroy());
  incoming.pipe(onward);
}

function tunnel(authority, socket, head) {
  const { hostname, port } = new URL(`http://${authority}`);
  const onward = net.connect(Number(port || 80), hostname, () => {
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    onward.write(head);
    onward.pipe(socket).pipe(onward);
  });
  onward.once('error', () => socket.destroy());
  socket.once('error', () => onward.destroy());
  socket.once('close', () => onward.destroy());
}

export async function startForwardProxy(t) {
  const proxy = { requests: [], tunnels: [], refuses: false };
  const sockets = new Set();
  const server = http.createServer((incoming, outgoing) => {
    proxy.requests.push({ method: incoming.method, url: incoming.url, headers: incoming.headers });
    if (!proxy.refuses && /^http:\/\//.test(incoming.url)) {
      pass(incoming, outgoing);
    } else {
      outgoing.writeHead(proxy.refuses ? 403 : 400);
      outgoing.end();
    }
  });
  server.on('connection', socket => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('connect', (incoming, socket, head) => {
    proxy.tunnels.push(incoming.url);
    if (proxy.refuses) socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
    else tunnel(incoming.url, socket, head);
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  proxy.url = `http://127.0.0.1:${server.address().port}`;
  return proxy;
}
