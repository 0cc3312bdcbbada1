// The same hub over each of its transports, and a relay that can cut what goes through it.
//
//   hub's configuration: { ...EVERY_TRANSPORT, ... }
//   const client = newClientOver(t, hub, ['http_stream']);      // the npm client; several: it falls back from one to the next
//   const client = newClientOver(t, hub, ['sse'], { port: relay.port, token });   // options of Centrifuge; port: what stands before the hub
//   const uni = await openUni(t, hub, 'uni_sse', { token });    // the connect request
//       uni.connected; await uni.next() the next message but pings; await uni.nextPing(); await uni.ended: { code, reason } of a WebSocket
//   const relay = await startRelay(t, hub, { refuses: head => ... });    // refuses: hangs up on such a request
//       relay.port; relay.cut(): all connections; relay.down(): the same, and nobody gets through until relay.up()
import net from 'node:net';

import { Centrifuge } from 'centrifuge';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';

import { rawSocket } from './client.mjs';
import { openStream } from './stream.mjs';

const enabled = { enabled: true };
export const EVERY_TRANSPORT = { http_stream: enabled, sse: enabled, uni_websocket: enabled, uni_http_stream: enabled, uni_sse: enabled };

const schemes = { websocket: 'ws' };
const endpointOf = (transport, port) => ({ transport, endpoint: `${schemes[transport] ?? 'http'}://127.0.0.1:${port}/connection/${transport}` });

export function newClientOver(t, hub, transports, { port = hub.port, ...options } = {}) {
  const client = new Centrifuge(transports.map(name => endpointOf(name, port)), {
    websocket: WebSocket, fetch, readableStream: ReadableStream, eventsource: EventSource,
    emulationEndpoint: `http://127.0.0.1:${port}/emulation`, minReconnectDelay: 20, maxReconnectDelay: 200, ...options,
  });
  client.on('error', () => {});
  t.after(() => client.disconnect());
  return client;
}

export async function startRelay(t, hub, { refuses = () => false } = {}) {
  const sockets = new Set();
  let isDown = false;
  const server = net.createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', first => {
      if (isDown || refuses(first.toString('latin1'))) {
        socket.destroy();
        return;
      }
      const onward = net.connect(hub.port, '127.0.0.1');
      sockets.add(onward);
      onward.on('error', () => socket.destroy());
      onward.write(first);
      socket.pipe(onward).pipe(socket);
      socket.once('close', () => onward.destroy());
      onward.once('close', () => socket.destroy());
    });
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const cut = () => { for (const socket of sockets) socket.destroy(); };
  t.after(() => { cut(); server.close(); });
  return {
    port: server.address().port,
    cut,
    down() { isDown = true; cut(); },
    up() { isDown = false; },
  };
}

export async function openUni(t, hub, transport, request = {}) {
  if (transport !== 'uni_websocket') return openStream(t, hub, transport, { connect: request });
  const socket = await rawSocket(t, hub, { path: '/connection/uni_websocket' });
  socket.send(request);
  const { connect: result } = await socket.next();
  const next = async () => {
    let message;
    do message = await socket.next(); while (Object.keys(message).length === 0);
    return message;
  };
  return { connected: result, next, nextPing: () => socket.next(), get ended() { return socket.closed; } };
}
