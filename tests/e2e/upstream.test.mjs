// The test upstream itself, where a fault of it would look like one of the hub.
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';

import { within } from './lib/process.mjs';
import { startUpstream } from './lib/upstream.mjs';

test('large answers to pipelined requests all reach a client that reads slowly', async t => {
  const upstream = await startUpstream(t);
  const [n, size] = [100, 300_000];
  const socket = net.connect(upstream.port, '127.0.0.1');
  t.after(() => socket.destroy());
  let text = '';
  socket.setEncoding('latin1').on('data', part => {
    text += part;
    socket.pause(); // the next part is the next turn's
    setImmediate(() => socket.resume());
  });
  const request = `GET /json?size=${size} HTTP/1.1\r\nHost: upstream\r\n`;
  socket.write(`${request}\r\n`.repeat(n - 1) + `${request}Connection: close\r\n\r\n`);
  await within(new Promise(resolve => socket.once('end', resolve)), () => `the end of the answers; ${text.length} bytes have come`);
  assert.equal(text.match(/HTTP\/1\.1 200 OK\r\n/g).length, n);
  assert.ok(text.length > n * size);
});
