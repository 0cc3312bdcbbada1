// The npm client in a real browser, on a page of another origin, where WebSockets do not get through.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';

import { chromium } from 'playwright-core';

import { startHub } from './lib/hub.mjs';
import { LIMIT_MS } from './lib/process.mjs';

const library = name => readFile(new URL(`node_modules/${name}`, import.meta.url), 'utf8');

const PAGE = `<!doctype html><title>page</title>
<script type="importmap">{"imports":{"centrifuge":"/centrifuge.js","events":"/events.js"}}</script>
<script type="module">
import { Centrifuge } from 'centrifuge';
const { transports, emulation } = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const client = new Centrifuge(transports, { emulationEndpoint: emulation });
client.on('connected', context => { document.title = context.transport; });
const sub = client.newSubscription('news');
sub.on('publication', ({ data }) => { document.body.append(Object.assign(document.createElement('p'), { textContent: data })); });
sub.on('subscribed', () => sub.publish('from the page'));
sub.subscribe();
client.connect();
</script>`;

/** Another origin than the hub's: serves the page and what it imports. */
async function startSite(t) {
  const events = `const module = { exports: {} };\n${await library('events/events.js')}\nexport default module.exports;`;
  const files = { '/': ['text/html', PAGE], '/centrifuge.js': ['text/javascript', await library('centrifuge/build/index.mjs')], '/events.js': ['text/javascript', events] };
  const server = http.createServer(({ url }, outgoing) => {
    const [type, text] = files[url] ?? ['text/plain', ''];
    outgoing.writeHead(200, { 'content-type': type });
    outgoing.end(text);
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => { server.closeAllConnections(); server.close(); });
  return `http://127.0.0.1:${server.address().port}`;
}

/** A proxy that hangs up on WebSockets. */
async function startProxy(t, hub) {
  const sockets = new Set();
  const server = net.createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', first => {
      if (/upgrade: websocket/i.test(first.toString('latin1'))) { socket.destroy(); return; }
      const onward = net.connect(hub.port, '127.0.0.1');
      sockets.add(onward);
      onward.on('error', () => socket.destroy());
      onward.write(first);
      socket.pipe(onward).pipe(socket);
      socket.once('close', () => onward.destroy());
    });
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => { for (const socket of sockets) socket.destroy(); server.close(); });
  return `127.0.0.1:${server.address().port}`;
}

for (const [transport, closed] of [['http_stream', {}], ['sse', { http_stream: { enabled: false } }]]) {
  test(`a page of another origin falls back to ${transport}`, async t => {
    const site = await startSite(t);
    const hub = await startHub(t, { config: { client: { insecure: true, allowed_origins: [site] }, http_stream: { enabled: true }, sse: { enabled: true }, ...closed } });
    const proxy = await startProxy(t, hub);
    const browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
    });
    t.after(() => browser.close());
    const page = await browser.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    const transports = [
      { transport: 'websocket', endpoint: `ws://${proxy}/connection/websocket` },
      { transport: 'http_stream', endpoint: `http://${proxy}/connection/http_stream` },
      { transport: 'sse', endpoint: `http://${proxy}/connection/sse` },
    ];
    await page.goto(`${site}/#${encodeURIComponent(JSON.stringify({ transports, emulation: `http://${proxy}/emulation` }))}`);
    await page.waitForSelector('p:has-text("from the page")');
    await hub.call('publish', { channel: 'news', data: 'from the backend' });
    await page.waitForSelector('p:has-text("from the backend")');
    assert.equal(await page.title(), transport);
  });
}
