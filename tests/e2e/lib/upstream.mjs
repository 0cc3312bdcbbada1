// A belfry-upstream (the demo and test upstream server) on a free port, ended with the test.
//
//   const upstream = await startUpstream(t);             // t: the context of node:test; or null
//   upstream.url          'http://127.0.0.1:PORT'
//   upstream.port
//   await upstream.stats()       GET /stats; await upstream.reset() sets them to zero
//   await upstream.put('name', '{"a":1}')     what GET /values/name answers from now on
//   await upstream.stop()       earlier than the end of the test, e.g. to make it unreachable
//   const again = await startUpstream(t, { port: upstream.port })    the same address again
//
//   await startUpstream(t, { tls: { certFile, keyFile, clientCaFile } })    // certificate.mjs; clientCaFile: clients need one, too
//   upstream.tlsUrl       'https://127.0.0.1:PORT', beside the other    upstream.tlsPort
//   await startUpstream(t, { blackHole: true })
//   upstream.blackHoleUrl 'http://127.0.0.1:PORT', to which no connection comes about, nor fails
//
//   const url = await refusedUrl(t, upstream);    // where every connection is refused until the test ends
import assert from 'node:assert/strict';
import net from 'node:net';
import { fileURLToPath } from 'node:url';

import { request } from './http.mjs';
import { startProcess } from './process.mjs';

export const UPSTREAM_BIN = process.env.BELFRY_UPSTREAM_BIN ?? fileURLToPath(new URL('../../../build/release/belfry-upstream', import.meta.url));

async function portOf(child, scheme) {
  const line = await child.waitForLine(text => text.includes(`listening ${scheme}://`));
  return Number(/:(\d+)$/.exec(line)[1]);
}

export async function startUpstream(t, { port = 0, args = [], tls, blackHole = false } = {}) {
  const tlsArgs = tls ? ['--tls-port', '0', '--tls-cert', tls.certFile, '--tls-key', tls.keyFile] : [];
  if (tls?.clientCaFile) tlsArgs.push('--tls-client-ca', tls.clientCaFile);
  const holeArgs = blackHole ? ['--black-hole-port', '0'] : [];
  const child = startProcess(UPSTREAM_BIN, ['--port', String(port), ...tlsArgs, ...holeArgs, ...args], { label: 'upstream' });
  const stop = () => child.end('SIGTERM');
  t?.after(stop);

  const upstream = { port: await portOf(child, 'http'), pid: child.pid, lines: child.lines, stop };
  upstream.url = `http://127.0.0.1:${upstream.port}`;
  if (tls) {
    upstream.tlsPort = await portOf(child, 'https');
    upstream.tlsUrl = `https://127.0.0.1:${upstream.tlsPort}`;
  }
  if (blackHole) upstream.blackHoleUrl = `http://127.0.0.1:${await portOf(child, 'black-hole')}`;
  upstream.stats = async () => (await request(upstream.port, 'GET', '/stats')).json;
  upstream.reset = () => request(upstream.port, 'POST', '/stats/reset');
  upstream.put = async (name, body) => {
    const { status } = await request(upstream.port, 'PUT', `/values/${name}`, { body, headers: { 'content-type': 'application/json' } });
    assert.ok(status === 201 || status === 204, `PUT /values/${name}: ${status}`);
  };
  return upstream;
}

// The local port of a connection to the upstream: nobody listens there, and nobody else gets it.
export async function refusedUrl(t, upstream) {
  const socket = net.connect(upstream.port, '127.0.0.1');
  t.after(() => socket.destroy());
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return `http://127.0.0.1:${socket.localPort}`;
}
