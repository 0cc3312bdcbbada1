// An upstream that speaks HTTP/2: over TLS, where a client may still choose HTTP/1.1, or in clear text (h2c).
//
//   const upstream = await startHttp2(t, { certificate });     // certificate.mjs; none: clear text
//   upstream.url                          'https://127.0.0.1:PORT', or http
//   upstream.handlers['/a'] = { a: 1 };   the JSON that it answers; or async request => body; else 404
//   upstream.sessions                     HTTP/2 connections so far     upstream.streams   requests on them
//   upstream.together                     the most streams that were open at one time
//   upstream.leave()                      no more requests on these connections (GOAWAY); leave({ at: 'once' }) breaks them off
//   upstream.requests                     [{ method, path, headers, version: '2.0' | '1.1' }]
import { readFile } from 'node:fs/promises';
import http2 from 'node:http2';

async function createServer(certificate) {
  if (!certificate) return http2.createServer();
  const [cert, key] = await Promise.all([readFile(certificate.certFile), readFile(certificate.keyFile)]);
  return http2.createSecureServer({ cert, key, allowHTTP1: true });
}

export async function startHttp2(t, { certificate, handlers = {} } = {}) {
  const upstream = { handlers, sessions: 0, streams: 0, together: 0, requests: [] };
  const server = await createServer(certificate);
  const open = new Set();
  let n_streams = 0;

  server.on('session', session => {
    upstream.sessions += 1;
    open.add(session);
    session.once('close', () => open.delete(session));
    session.on('error', () => {}); // the hub went away
  });
  server.on('stream', stream => {
    upstream.streams += 1;
    n_streams += 1;
    upstream.together = Math.max(upstream.together, n_streams);
    stream.once('close', () => { n_streams -= 1; });
    stream.on('error', () => {});
  });
  server.on('request', async (incoming, outgoing) => {
    const { method, url: path, headers, httpVersion: version } = incoming;
    const request = { method, path, headers, version };
    upstream.requests.push(request);
    const handler = upstream.handlers[path];
    const body = typeof handler === 'function' ? await handler(request) : handler;
    if (outgoing.destroyed || outgoing.stream?.destroyed) return;
    outgoing.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' });
    outgoing.end(JSON.stringify(body ?? { error: 'no handler' }));
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const session of open) session.destroy();
    server.closeAllConnections?.(); // those of HTTP/1.1
    server.close();
  });
  upstream.leave = ({ at } = {}) => {
    for (const session of open) at === 'once' ? session.destroy() : session.close();
  };
  upstream.url = `${certificate ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;
  return upstream;
}
