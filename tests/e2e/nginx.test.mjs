// examples/nginx.conf: clients and backends over TLS through nginx, as `docker compose --profile proxy` has it.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http2 from 'node:http2';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextPublication, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { request } from './lib/http.mjs';
import { nginxIsThere, startNginx } from './lib/nginx.mjs';
import { within } from './lib/process.mjs';
import { openSession } from './lib/session.mjs';
import { openStream } from './lib/stream.mjs';
import { EVERY_TRANSPORT } from './lib/transports.mjs';

const history = { history_size: 10, history_ttl: '1h', force_recovery: true };

const byNginx = { unchecked: 'nginx answers itself' };

async function start(t, { timeout, config = {} } = {}) {
  const hub = await startHub(t, {
    config: { client: { insecure: true, ...config.client }, prometheus: { enabled: true }, ...EVERY_TRANSPORT, channel: { without_namespace: history }, http_server: config.http_server ?? {} },
  });
  return { hub, front: await startNginx(t, hub, { timeout }) };
}

test('the timeouts are longer than a ping and its answer may take', async () => {
  const text = await readFile(new URL('../../examples/nginx.conf', import.meta.url), 'utf8');
  const reference = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  const seconds = key => Number(new RegExp(`^\\| \`client.${key}\` \\|[^|]*\\| \`(\\d+)s\``, 'm').exec(reference)[1]);
  for (const name of ['read', 'send']) {
    assert.ok(Number(new RegExp(`proxy_${name}_timeout (\\d+)s;`).exec(text)[1]) > seconds('ping_interval') + seconds('pong_timeout'));
  }
});

describe('through nginx with TLS', { concurrency: true, skip: !nginxIsThere && 'there is no nginx here' }, () => {
  test('a WebSocket', async t => {
    const { front } = await start(t);
    const session = await openSession(t, front);
    await session.ok('subscribe', { channel: 'news' });
    await front.call('publish', { channel: 'news', data: 'x'.repeat(50_000) });
    assert.equal((await session.nextPush()).pub.data.length, 50_000);
    session.send('no command');
    assert.equal((await session.closed).code, 3501); // the hub's own code
  });

  test('the npm client, with what it missed', async t => {
    const { front } = await start(t);
    const client = newClient(t, front);
    await connect(client);
    const sub = newSubscription(client, 'news', { recoverable: true });
    await subscribe(sub);
    await front.call('publish', { channel: 'news', data: 1 });
    assert.equal((await nextPublication(sub)).data, 1);
    client.disconnect();
    await front.call('publish', { channel: 'news', data: 2 });
    await connect(client);
    assert.equal((await nextPublication(sub)).data, 2);
  });

  for (const transport of ['http_stream', 'sse']) {
    test(`${transport}: each message at once, commands beside it`, async t => {
      const { front } = await start(t);
      const stream = await openStream(t, front, transport);
      await stream.call('subscribe', { channel: 'news' });
      for (let i = 0; i < 3; i += 1) {
        await front.call('publish', { channel: 'news', data: i });
        assert.equal((await stream.next()).push.pub.data, i); // it would wait for the next ones in a buffer
      }
    });
  }

  test('an event stream and the API over HTTP/2', async t => {
    const { front } = await start(t);
    const session = http2.connect(front.url, { ca: front.ca });
    t.after(() => session.destroy());
    const stream = session.request({ ':path': `/connection/uni_sse?cf_connect=${encodeURIComponent('{}')}` });
    stream.setEncoding('utf8');
    const first = await within(new Promise((resolve, reject) => {
      let text = '';
      stream.once('error', reject);
      stream.on('data', part => { text += part; if (text.includes('\n\n')) resolve(text); });
    }), 'the connect push');
    assert.match(first, /data: \{"connect":\{"client":/);
    assert.equal(session.alpnProtocol, 'h2');
  });

  test('the API, also large bodies', async t => {
    const { front } = await start(t);
    assert.equal((await front.call('info')).nodes.length, 1);
    assert.equal((await front.call('publish', { channel: 'news', data: 'x'.repeat(900_000) })).offset, 1);
    assert.equal((await front.api('publish', { channel: 'news', data: 'x'.repeat(1_100_000) })).status, 413); // the hub's limit
    assert.equal((await front.api('info', {}, { key: 'wrong' })).status, 401);
  });

  test('no metrics and no health; without TLS only the way to it', async t => {
    const { hub, front } = await start(t);
    for (const path of ['/metrics', '/health', '/ready']) {
      assert.equal((await hub.request('GET', path)).status, 200);
      assert.equal((await front.request('GET', path, byNginx)).status, 404);
    }
    const plain = await request(front.plainPort, 'GET', '/health?a=b', { headers: { host: 'hub.test' }, ...byNginx });
    assert.deepEqual([plain.status, plain.headers.location], [308, 'https://hub.test/health?a=b']);
  });

  test('the hub is told who is there, and nobody can say otherwise', async t => {
    const { hub, front } = await start(t, { config: { http_server: { access_log: { enabled: true } } } });
    await front.request('GET', '/nothing', { headers: { 'x-forwarded-for': '192.0.2.1' } });
    await hub.waitForLine(line => / access request /.test(line) && line.includes('path=/nothing') && /forwarded_for="?127\.0\.0\.1"?(?: |$)/.test(line));
  });

  test('pings keep a quiet connection open', async t => {
    const { front } = await start(t, { timeout: '2s', config: { client: { ping_interval: '1s', pong_timeout: '900ms' } } });
    const session = await openSession(t, front);
    const stream = await openStream(t, front, 'uni_sse');
    for (let i = 0; i < 4; i += 1) await Promise.all([session.nextPing(), stream.nextPing()]);
    assert.deepEqual(await session.ok('unsubscribe', { channel: 'news' }), {});
  });
});
