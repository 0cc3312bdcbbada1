// GET /metrics: its format, read strictly, and that the figures are those of what happened.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';

import { check } from './lib/command.mjs';
import { startHub } from './lib/hub.mjs';
import { difference, parseMetrics, quantile } from './lib/prometheus.mjs';
import { openSession } from './lib/session.mjs';
import { refusedUrl, startUpstream } from './lib/upstream.mjs';

const history = { history_size: 10, history_ttl: '1h', force_recovery: true };

function startMetricsHub(t, { prometheus = {}, ...config } = {}) {
  return startHub(t, {
    config: {
      client: { insecure: true },
      prometheus: { enabled: true, ...prometheus },
      channel: { namespaces: [{ name: 'kept', ...history }, { name: 'live' }] },
      ...config,
    },
  });
}

async function scrape(hub, path = '/metrics') {
  const { status, text } = await hub.request('GET', path);
  assert.equal(status, 200);
  return parseMetrics(text);
}

describe('metrics', { concurrency: true }, () => {
  test('are off unless the configuration says otherwise', async t => {
    const hub = await startMetricsHub(t, { prometheus: { enabled: false } });
    assert.equal((await hub.request('GET', '/metrics')).status, 404);
  });

  test('need no key and are in the text format, each with help and type', async t => {
    const hub = await startMetricsHub(t);
    const { headers, text } = await hub.request('GET', '/metrics');
    assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    const { families } = parseMetrics(text);
    assert.ok(families.size > 40);
    for (const name of families.keys()) assert.match(name, /^(belfry|process)_/);
  });

  test('are all in the documentation, with their types', async t => {
    const hub = await startMetricsHub(t);
    const { families } = parseMetrics((await hub.request('GET', '/metrics')).text);
    const text = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const documented = [...text.matchAll(/^\| `(\w+)`[^|]*\| (\w+) \| (.*) \|$/gm)].map(([, name, type, help]) => ({ name, type, help }));
    const toldHere = documented.filter(({ name }) => name !== 'process_open_fds' || families.has(name)); // not by an older Linux
    assert.deepEqual(toldHere, [...families.values()].map(({ name, type, help }) => ({ name, type, help })));
  });

  test('are at the configured path and only there', async t => {
    const hub = await startMetricsHub(t, { prometheus: { handler_prefix: '/internal/figures' } });
    await scrape(hub, '/internal/figures');
    assert.equal((await hub.request('GET', '/metrics')).status, 404);
    assert.equal((await hub.request('GET', '/internal/figures/')).status, 404);
  });

  test('are for GET and HEAD', async t => {
    const hub = await startMetricsHub(t);
    const head = await hub.request('HEAD', '/metrics');
    assert.deepEqual([head.status, head.text], [200, '']);
    const post = await hub.request('POST', '/metrics', { body: {} });
    assert.deepEqual([post.status, post.headers.allow], [405, 'GET, HEAD']);
  });

  for (const path of ['metrics', '', '/', '/health', '/api', '/api/metrics', '/feeds/metrics', '/hooks/metrics', '/a b', '/a?b']) {
    test(`the path ${JSON.stringify(path)} is refused`, async t => {
      const { code, text } = await check(t, { prometheus: { handler_prefix: path } });
      assert.equal(code, 1);
      assert.match(text, /prometheus\.handler_prefix: .*is not a path that begins with \/ and is not \/ alone, \/health, \/api or one below \/api\//);
    });
  }
});

test('the path of the WebSocket endpoint is refused, too', async t => {
  const { code, text } = await check(t, { prometheus: { enabled: true, handler_prefix: '/connection/websocket' } });
  assert.equal(code, 1);
  assert.match(text, /prometheus\.handler_prefix: "\/connection\/websocket" is not a path that websocket\.handler_prefix has not/);
});

const publish = (hub, channel, n = 1) => Promise.all(Array.from({ length: n }, (_, i) => hub.call('publish', { channel, data: i })));

async function openSubscribed(t, hub, ...channels) {
  const session = await openSession(t, hub);
  for (const channel of channels) await session.ok('subscribe', { channel });
  return session;
}

describe('figures', { concurrency: true }, () => {
  test('of the program', async t => {
    const before = Date.now() / 1000 - 1;
    const hub = await startMetricsHub(t);
    const { json: { result } } = await hub.api('info');
    const metrics = await scrape(hub);
    assert.equal(metrics.get('belfry_node_build', { version: result.nodes[0].version }), 1);
    assert.ok(metrics.get('process_start_time_seconds') > before);
    assert.ok(metrics.get('process_start_time_seconds') <= Date.now() / 1000);
    assert.ok(metrics.get('process_resident_memory_bytes') > 1e6);
    assert.ok(metrics.get('process_cpu_seconds_total') > 0);
    assert.ok(metrics.get('process_max_fds') >= 256);
  });

  test('of clients, subscriptions and channels, and of those no longer there', async t => {
    const hub = await startMetricsHub(t);
    const counts = async () => ['clients', 'subscriptions', 'channels'].map(what => metrics.get(`belfry_node_num_${what}`));
    let metrics = await scrape(hub);
    assert.deepEqual(await counts(), [0, 0, 0]);
    const one = await openSubscribed(t, hub, 'kept:a', 'live:a');
    await openSubscribed(t, hub, 'kept:a');
    metrics = await scrape(hub);
    assert.deepEqual(await counts(), [2, 3, 2]);
    await one.ok('unsubscribe', { channel: 'kept:a' });
    metrics = await scrape(hub);
    assert.equal(metrics.get('belfry_node_num_subscriptions'), 2);
  });

  test('of publications and messages', async t => {
    const hub = await startMetricsHub(t);
    await openSubscribed(t, hub, 'kept:a', 'live:a');
    const last = await openSubscribed(t, hub, 'kept:a');
    await publish(hub, 'live:a', 2);
    await publish(hub, 'kept:b', 1);
    await publish(hub, 'kept:a', 3);
    for (let i = 0; i < 3; i += 1) await last.nextPush();
    const metrics = await scrape(hub);
    assert.equal(metrics.get('belfry_publications_total'), 6);
    assert.equal(metrics.get('belfry_node_messages_sent_count', { type: 'publication' }), 2 + 3 * 2);
  });

  test('of the storage', async t => {
    const hub = await startMetricsHub(t, { storage: { queue_max_size: 70_000 } });
    const channels = ['kept:a', 'kept:b', 'kept:c'];
    for (const channel of channels) await publish(hub, channel, 5);
    const metrics = await scrape(hub);
    const get = name => metrics.get(`belfry_storage_${name}`);
    assert.equal(get('appends_total'), 15);
    assert.equal(get('streams'), 3);
    assert.equal(get('queue_bytes'), 0);
    assert.equal(get('queue_length'), 0);
    assert.equal(get('queue_max_bytes'), 70_000);
    assert.equal(get('failed_total'), 0);
    assert.equal(get('overloaded_total'), 0);
    assert.ok(get('wal_bytes') > 0);
    const groups = get('groups_total');
    assert.ok(groups >= 3 && groups <= 15);
    const sizes = metrics.histogram('belfry_storage_group_size');
    assert.ok(sizes.count === groups && sizes.sum >= 15);
    const times = metrics.histogram('belfry_storage_commit_seconds');
    assert.ok(times.count === groups && times.sum > 0 && times.sum < 60);
  });

  test('of an overloaded storage', async t => {
    const hub = await startMetricsHub(t, { storage: { queue_max_size: 65_536 } });
    const { json } = await hub.api('publish', { channel: 'kept:a', data: 'x'.repeat(70_000) });
    assert.equal(json.error?.code, 111);
    assert.equal((await scrape(hub)).get('belfry_storage_overloaded_total'), 1);
    await hub.waitForLine(line => / warn storage queue_full bytes=\d+ waiting=0 storage\.queue_max_size=65536/.test(line));
  });

  test('of suppressed publications', async t => {
    const hub = await startMetricsHub(t);
    const request = { channel: 'kept:a', data: 1, idempotency_key: 'once' };
    assert.deepEqual(await hub.call('publish', request), await hub.call('publish', request));
    const metrics = await scrape(hub);
    assert.equal(metrics.get('belfry_storage_suppressed_total'), 1);
    assert.equal(metrics.get('belfry_storage_idempotency_keys'), 1);
  });

  test('of recoveries', async t => {
    const hub = await startMetricsHub(t);
    const session = await openSubscribed(t, hub);
    const { offset, epoch } = await hub.call('publish', { channel: 'kept:a', data: 1 });
    const recover = since => session.ok('subscribe', { channel: 'kept:a', recover: true, ...since });
    for (const missed of [1, 0]) {
      assert.equal((await recover({ offset: offset - missed, epoch })).recovered, true);
      await session.ok('unsubscribe', { channel: 'kept:a' });
    }
    assert.equal((await recover({ offset, epoch: 'other' })).recovered, undefined);
    const metrics = await scrape(hub);
    assert.equal(metrics.get('belfry_client_recover', { recovered: 'yes' }), 2);
    assert.equal(metrics.get('belfry_client_recover', { recovered: 'no' }), 1);
  });

  test('of what is in memory and what must be read', async t => {
    const hub = await startMetricsHub(t, {
      channel: { namespaces: [{ name: 'kept', ...history }], tail_total_max_size: 1_000_000 },
    });
    const session = await openSession(t, hub);
    const { epoch } = await hub.call('publish', { channel: 'kept:a', data: 1 });
    await session.ok('subscribe', { channel: 'kept:a', recover: true, offset: 0, epoch });
    for (let i = 0; i < 2; i += 1) await hub.call('history', { channel: 'kept:a', limit: 10 });
    let metrics = await scrape(hub);
    const tail = what => metrics.get(`belfry_tail_${what}`);
    assert.deepEqual([tail('hits_total'), tail('misses_total'), tail('evicted_total')], [2, 1, 0]);
    assert.equal(metrics.get('belfry_storage_reads_total'), 1);
    assert.equal(metrics.get('belfry_idle_channels'), 0);
    assert.ok(tail('bytes') > 0);
    assert.equal(tail('max_bytes'), 1_000_000);
    await session.ok('unsubscribe', { channel: 'kept:a' });
    metrics = await scrape(hub);
    assert.deepEqual([metrics.get('belfry_idle_channels'), metrics.get('belfry_node_num_channels')], [1, 0]);
  });

  test('of feeds, each by its name', async t => {
    const nobody = { name: 'nobody', url: 'http://127.0.0.1:1/' };
    const feeds = ['one', 'two'].map(name => ({ name, channel: 'live:a', upstreams: [nobody] }));
    const hub = await startMetricsHub(t, { feeds });
    await hub.api('feed_refresh', { feed: 'two' });
    const metrics = await scrape(hub);
    const get = (what, feed) => metrics.get(`belfry_feed_${what}`, { feed });
    assert.deepEqual([get('refreshes_total', 'one'), get('refreshes_total', 'two')], [0, 1]);
    assert.deepEqual([get('incomplete_total', 'one'), get('incomplete_total', 'two')], [0, 1]);
    assert.equal(get('refreshes_running', 'two'), 0);
  });

  test('of upstreams, each by its feed and name', async t => {
    const upstream = await startUpstream(t);
    const upstreams = [
      { name: 'good', url: `${upstream.url}/json?etag=1` },
      { name: 'again', url: `${upstream.url}/json?fail=1&fail_status=503`, retry: { attempts: 1, backoff: '1ms' } },
      { name: 'bad', url: await refusedUrl(t, upstream), breaker: { failures: 2, open: '5m' } },
    ];
    const hub = await startMetricsHub(t, { feeds: ['one', 'two'].map(name => ({ name, channel: 'live:a', timeout: '60s', upstreams })) });
    for (let i = 0; i < 3; i += 1) await hub.call('feed_refresh', { feed: 'two' });
    const metrics = await scrape(hub);
    const get = (what, name, more = {}, feed = 'two') => metrics.get(`belfry_upstream_${what}`, { feed, upstream: name, ...more });
    const samples = metrics.families.get('belfry_upstream_calls_total').samples;
    const calls = name => Object.fromEntries(samples.filter(({ labels }) => labels.feed === 'two' && labels.upstream === name).map(({ labels, value }) => [labels.outcome, value]));
    assert.deepEqual([calls('good'), calls('again'), calls('bad')], [{ ok: 1, not_modified: 2 }, { ok: 3 }, { connect_error: 2, breaker_open: 1 }]);
    assert.deepEqual(['good', 'again', 'bad'].map(name => get('attempts_total', name)), [3, 4, 2]);
    assert.deepEqual(['good', 'again', 'bad'].map(name => get('retries_total', name)), [0, 1, 0]);
    assert.deepEqual(['good', 'bad'].map(name => [get('breaker_state', name), get('breaker_opened_total', name)]), [[0, 0], [1, 1]]);
    assert.deepEqual([get('active', 'good'), get('waiting', 'good'), get('hedges_total', 'good')], [0, 0, 0]);
    const latency = ['0.5', '0.9', '0.99'].map(quantile => get('latency_seconds', 'good', { quantile }));
    assert.ok(latency[0] > 0 && latency[0] <= latency[1] && latency[1] <= latency[2] && latency[2] < 60);
    assert.equal(get('attempts_total', 'good', {}, 'one'), 0);
    assert.equal(metrics.get('belfry_feed_not_modified_total', { feed: 'two' }), 2);
  });

  test('of what feeds keep, and of those that are watched', async t => {
    const upstream = await startUpstream(t);
    const feeds = ['one', 'two'].map(name => ({ name, channel: `kept:${name}`, timeout: '60s', refresh: { every: '1h' }, upstreams: [{ name: 'json', url: `${upstream.url}/json` }] }));
    const hub = await startMetricsHub(t, { feeds, upstreams: { max_watched: 1 } });
    for (const feed of ['one', 'two']) await hub.call('feed_refresh', { feed });
    await openSubscribed(t, hub, 'kept:one', 'kept:two');
    const metrics = await scrape(hub);
    const get = (what, labels) => metrics.get(`belfry_${what}`, labels);
    assert.equal(get('storage_feed_snapshots'), 2);
    assert.equal(get('feed_instances'), 2);
    assert.ok(get('feed_memory_bytes') > 1000);
    assert.deepEqual([get('feeds_watched'), get('feed_watch_refused_total'), get('feed_evicted_total')], [1, 1, 0]);
    assert.deepEqual([get('feed_watched', { feed: 'one' }), get('feed_watched', { feed: 'two' })], [1, 0]);
  });

  test("of the loop's turns, which only grow", async t => {
    const hub = await startMetricsHub(t);
    const idle = await scrape(hub);
    const earlier = idle.histogram('belfry_loop_lag_seconds');
    assert.ok(earlier.count > 0);
    assert.equal(idle.get('belfry_storage_groups_total'), 0);
    await publish(hub, 'kept:a', 10);
    const turns = difference((await scrape(hub)).histogram('belfry_loop_lag_seconds'), earlier);
    assert.ok(turns.count > 0 && turns.sum > 0);
    assert.ok(turns.buckets.every(([, n]) => n >= 0));
    assert.ok(quantile(turns, 1) > 0);
  });
});

// The reader itself: what it must not let pass.
describe('the reader of the format refuses', () => {
  const head = '# HELP a A.\n# TYPE a counter\n';
  const histogram = lines => `# HELP a A.\n# TYPE a histogram\n${lines.map(line => `a${line}\n`).join('')}`;
  const bad = {
    'a last line without end': `${head}a 1`,
    'a sample without type': 'a 1\n',
    'a type without help': '# TYPE a counter\na 1\n',
    'a family twice': `${head}a 1\n${head}a{b="c"} 1\n`,
    'a sample twice': `${head}a 1\na 1\n`,
    'a sample of another family': `${head}b 1\n`,
    'no number': `${head}a one\n`,
    'a counter below 0': `${head}a -1\n`,
    'a value that is no number': `${head}a NaN\n`,
    'an open label': `${head}a{b="c} 1\n`,
    'a label twice': `${head}a{b="c",b="d"} 1\n`,
    'an empty line': `${head}\na 1\n`,
    'buckets that fall': histogram(['_bucket{le="1"} 2', '_bucket{le="+Inf"} 1', '_sum 1', '_count 1']),
    'no last bucket': histogram(['_bucket{le="1"} 2', '_sum 1', '_count 2']),
    'bounds that fall': histogram(['_bucket{le="2"} 1', '_bucket{le="1"} 1', '_bucket{le="+Inf"} 1', '_sum 1', '_count 1']),
    'another count': histogram(['_bucket{le="1"} 2', '_bucket{le="+Inf"} 2', '_sum 1', '_count 3']),
    'no sum': histogram(['_bucket{le="+Inf"} 2', '_count 2']),
  };
  for (const [what, text] of Object.entries(bad)) {
    test(what, () => assert.throws(() => parseMetrics(text)));
  }
});
