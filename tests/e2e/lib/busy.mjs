// A hub in which something of everything has happened, so that every metric has a sample: feeds that succeed and fail, backends that
// are asked, clients over several transports, commands that are refused, subscriptions and connections that the hub ends.
//
//   const hub = await startBusyHub(t, { config });     // config: merged over its own
//   const text = await metricsText(hub);               // GET /metrics, as it is
//   const { code, out } = await promtool(['check', 'metrics'], text);
import { spawn } from 'node:child_process';
import assert from 'node:assert/strict';

import { answer, startBackend } from './backend.mjs';
import { merged, startHub } from './hub.mjs';
import { within } from './process.mjs';
import { openSession } from './session.mjs';
import { openStream } from './stream.mjs';
import { EVERY_TRANSPORT } from './transports.mjs';
import { refusedUrl, startUpstream } from './upstream.mjs';

async function configOf(t, backend) {
  const upstream = await startUpstream(t);
  const upstreams = [
    { name: 'good', url: `${upstream.url}/json` },
    { name: 'bad', url: await refusedUrl(t, upstream), breaker: { failures: 1, open: '5m' } },
  ];
  return {
    client: { insecure: true, ping_interval: '1s', pong_timeout: '900ms', proxy: { connect: { enabled: true, endpoint: `${backend.url}/connect` } } },
    prometheus: { enabled: true },
    ...EVERY_TRANSPORT,
    channel: {
      namespaces: [
        { name: 'kept', history_size: 10, history_ttl: '1h', force_recovery: true },
        { name: 'seen', presence: true, join_leave: true, force_push_join_leave: true },
      ],
    },
    rpc: { proxy: { enabled: true, endpoint: `${backend.url}/rpc` }, without_namespace: { proxy_enabled: true } },
    feeds: [{ name: 'one', channel: 'kept:one', timeout: '60s', refresh: { every: '1h' }, upstreams }],
  };
}

async function talk(t, hub) {
  const session = await openSession(t, hub, { connect: { name: 'js' } });
  const { epoch } = await hub.call('publish', { channel: 'kept:a', data: 1 });
  for (const since of [{ offset: 0, epoch }, { offset: 0, epoch: 'other' }]) {
    await session.call('subscribe', { channel: 'kept:a', recover: true, ...since });
    await session.ok('unsubscribe', { channel: 'kept:a' });
  }
  await session.ok('subscribe', { channel: 'kept:one' });
  await session.ok('subscribe', { channel: 'seen:a' });
  await session.error('subscribe', { channel: 'nowhere:a' });
  for (const method of ['good', 'bad']) await session.call('rpc', { method, data: {} });
  await session.nextPing();
  await session.ok('unsubscribe', { channel: 'nothing' }); // behind the answer to the ping
}

/** Several come, one is unsubscribed and one sent away. */
async function comeAndGo(t, hub) {
  const other = await openSession(t, hub, { connect: { name: 'my own' } });
  await other.ok('subscribe', { channel: 'seen:a' });
  await hub.call('unsubscribe', { user: 'u', client: other.id, channel: 'seen:a' });
  for (const transport of ['http_stream', 'uni_sse']) await openStream(t, hub, transport);
  other.send('no command');
  await other.closed;
}

export async function startBusyHub(t, { config = {} } = {}) {
  const backend = await startBackend(t, { '/connect': { result: { user: 'u' } }, '/rpc': ({ json }) => (json.method === 'good' ? { result: { data: 1 } } : answer(500)) });
  const hub = await startHub(t, { config: merged(await configOf(t, backend), config) });
  await talk(t, hub);
  await comeAndGo(t, hub);
  for (let i = 0; i < 2; i += 1) await hub.call('feed_refresh', { feed: 'one' });
  await hub.api('publish', { channel: 'nowhere:a', data: 1 });
  return hub;
}

export async function metricsText(hub) {
  const { status, text } = await hub.request('GET', '/metrics');
  assert.equal(status, 200);
  return text;
}

/** The program of Debian's package prometheus; input: for its standard input. */
export function promtool(args, input = '') {
  const child = spawn('promtool', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = new Promise((resolve, reject) => {
    let out = '';
    child.once('error', reject);
    for (const stream of [child.stdout, child.stderr]) stream.on('data', data => { out += data; });
    child.once('close', code => resolve({ code, out }));
  });
  child.stdin.end(input);
  return within(ended, () => `promtool ${args.join(' ')}`);
}
