// GET /metrics: its format, read strictly, and that the figures are those of what happened.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { describe, test } from 'node:test';

import { metricsText, promtool, startBusyHub } from './lib/busy.mjs';
import { startBackend } from './lib/backend.mjs';
import { check } from './lib/command.mjs';
import { startHub } from './lib/hub.mjs';
import { difference, parseMetrics, quantile } from './lib/prometheus.mjs';
import { infoWhen, openSession, textOf } from './lib/session.mjs';
import { openStream } from './lib/stream.mjs';
import { EVERY_TRANSPORT } from './lib/transports.mjs';
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
    const toldHere = documented.filter(({ name }) => /^(belfry|process)_/.test(name) && (name !== 'process_open_fds' || families.has(name))); // not by an older Linux
    assert.deepEqual(toldHere, [...families.values()].map(({ name, type, help }) => ({ name, type, help })));
  });

  test('have a sample each on a busy hub, and the labels of the documentation', async t => {
    const hub = await startBusyHub(t);
    const { families } = parseMetrics(await metricsText(hub));
    const text = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const documented = new Map([...text.matchAll(/^\| `(\w+)`(?: `\{([^`]*)\}`)? \|/gm)].map(([, name, labels]) => [name, labels ?? '']));
    for (const { name, samples } of families.values()) {
      assert.ok(samples.length > 0, `${name} has no sample: startBusyHub() must make one`);
      for (const { labels } of samples) {
        const names = Object.keys(labels).filter(label => label !== 'le');
        assert.equal(names.join(','), documented.get(name), name);
      }
    }
  });

  test('have no value of a label but those of the documentation, and names of the configuration', async t => {
    const hub = await startBusyHub(t);
    const { families } = parseMetrics(await metricsText(hub));
    const text = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const bounds = new Map([...text.matchAll(/^\| (`\w+`(?:, `\w+`)*) \| (\d+|[^|]*) \| .* \|$/gm)].flatMap(([, names, n]) => [...names.matchAll(/\w+/g)].map(([name]) => [name, Number(n)])));
    for (const { name, samples } of families.values()) {
      const seen = {};
      for (const { labels } of samples) {
        for (const [label, value] of Object.entries(labels)) (seen[label] ??= new Set()).add(value);
      }
      for (const [label, values] of Object.entries(seen)) {
        assert.ok(bounds.has(label), `${name}: the documentation does not say how many values ${label} may have`);
        const bound = bounds.get(label);
        assert.ok(Number.isNaN(bound) || values.size <= bound, `${name}: ${values.size} values of ${label}, not at most ${bound}`);
      }
    }
  });

  test('are to the liking of promtool, but for names that are older than its rules', async t => {
    const hub = await startBusyHub(t);
    const { code, out } = await promtool(['check', 'metrics'], await metricsText(hub));
    const remarks = out.split('\n').filter(line => line !== '');
    const ofCentrifugo = [
      'belfry_api_command_duration_seconds_histogram', 'belfry_broker_publish_suppressed_count', 'belfry_client_command_duration_seconds_histogram',
      'belfry_client_connections_accepted', 'belfry_client_num_reply_errors', 'belfry_client_num_server_disconnects',
      'belfry_client_num_server_unsubscribes', 'belfry_client_recover', 'belfry_node_client_connection_limit', 'belfry_node_messages_sent_count',
      'belfry_node_tags_filter_dropped_publications', 'belfry_proxy_duration_seconds_histogram', 'belfry_proxy_errors', 'belfry_transport_messages_received', 'belfry_transport_messages_received_size',
      'belfry_transport_messages_sent', 'belfry_transport_messages_sent_size', 'belfry_transport_outgoing_close_count',
    ];
    for (const remark of remarks) {
      assert.match(remark, / (counter metrics should have "_total" suffix|non-histogram and non-summary metrics should not have "_count" suffix|metric name should not include type 'histogram')$/);
    }
    assert.deepEqual([...new Set(remarks.map(line => line.split(' ')[0]))].sort(), ofCentrifugo);
    assert.equal(code, 3, out); // remarks; 1 would be an error
    const broken = await promtool(['check', 'metrics'], 'belfry_node_num_clients one\n');
    assert.equal(broken.code, 1, broken.out);
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
      assert.match(text, /prometheus\.handler_prefix: .*is not a path that begins with \/ and is not \/ alone, \/health, /);
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
    assert.equal(metrics.get('belfry_broker_publish_suppressed_count'), 1);
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
    const recovered = (recovered, has_recovered_publications) => metrics.get('belfry_client_recover', { recovered, has_recovered_publications });
    assert.deepEqual([recovered('yes', 'yes'), recovered('yes', 'no'), recovered('no', 'no')], [1, 1, 1]);
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
    const durations = name => metrics.histogram('belfry_upstream_duration_seconds', { feed: 'two', upstream: name });
    assert.deepEqual(['good', 'again', 'bad'].map(name => durations(name).count), [3, 4, 0]); // those that were answered
    assert.ok(durations('good').sum > 0 && durations('good').sum < 60);
    assert.equal(get('attempts_total', 'good', {}, 'one'), 0);
    assert.equal(metrics.get('belfry_feed_not_modified_total', { feed: 'two' }), 2);
  });

  test('of more upstreams than are written at once', async t => {
    const feeds = Array.from({ length: 20 }, (_, i) => ({
      name: `feed${i}`, channel: 'live:a', upstreams: Array.from({ length: 20 }, (_, k) => ({ name: `up${k}`, url: 'http://127.0.0.1:1/' })),
    }));
    const hub = await startMetricsHub(t, { feeds });
    const early = http.get(`${hub.url}/metrics`).once('error', () => {}); // one who does not wait for the beginning, and one not for the end
    early.once('socket', socket => socket.once('connect', () => setImmediate(() => early.destroy())));
    const late = http.get(`${hub.url}/metrics`).once('error', () => {});
    const [reply] = await once(late, 'response');
    await once(reply, 'readable');
    assert.ok(Number(reply.headers['content-length']) > 200_000);
    late.destroy();
    const metrics = await scrape(hub);
    for (const what of ['attempts_total', 'breaker_state', 'waiting']) {
      const { samples } = metrics.families.get(`belfry_upstream_${what}`);
      assert.deepEqual(samples.map(({ labels }) => [labels.feed, labels.upstream]), feeds.flatMap(({ name, upstreams }) => upstreams.map(one => [name, one.name])));
    }
    assert.deepEqual((await hub.request('HEAD', '/metrics')).text, '');
    await hub.reload({ feeds: feeds.slice(1) });
    assert.equal((await scrape(hub)).families.get('belfry_upstream_active').samples.length, 19 * 20);
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

describe('figures of clients', { concurrency: true }, () => {
  const websocket = { transport: 'websocket' };

  test('by their library, whose names are known', async t => {
    const hub = await startMetricsHub(t);
    const names = ['js', 'go', 'my own', 'x'.repeat(100), undefined];
    const sessions = await Promise.all(names.map(name => openSession(t, hub, { connect: { name } })));
    let metrics = await scrape(hub);
    const get = (what, client_name) => metrics.get(`belfry_client_connections_${what}`, { ...websocket, client_name });
    assert.deepEqual(['js', 'go', 'other'].map(name => get('accepted', name)), [1, 1, 3]);
    sessions[0].ws.terminate();
    await infoWhen(hub, info => info.num_clients === 4);
    metrics = await scrape(hub);
    assert.deepEqual([get('accepted', 'js'), get('inflight', 'js'), get('inflight', 'other')], [1, 0, 3]);
  });

  test('by the namespaces of their channels, also one that is no more', async t => {
    const hub = await startMetricsHub(t);
    const [first, second] = await Promise.all(['js', 'go'].map(name => openSession(t, hub, { connect: { name } })));
    for (const channel of ['kept:a', 'kept:b', 'live:a', 'plain']) await first.ok('subscribe', { channel });
    await second.ok('subscribe', { channel: 'kept:a' });
    const counts = async () => (await scrape(hub)).families.get('belfry_client_subscriptions_inflight').samples
      .map(({ labels, value }) => `${labels.client_name} ${labels.channel_namespace}: ${value}`).sort();
    assert.deepEqual(await counts(), ['go kept: 1', 'js : 1', 'js kept: 2', 'js live: 1']);
    await first.ok('unsubscribe', { channel: 'kept:b' });
    await hub.reload({ channel: { namespaces: [{ name: 'kept', ...history }] } });
    assert.deepEqual(await counts(), ['go kept: 1', 'js : 1', 'js kept: 1']);
    second.ws.terminate();
    await infoWhen(hub, info => info.num_clients === 1);
    assert.deepEqual(await counts(), ['js : 1', 'js kept: 1']);
  });

  test('who have not said who they are do not count as connected', async t => {
    const hub = await startMetricsHub(t);
    await openSession(t, hub, { connect: null });
    const metrics = await scrape(hub);
    assert.equal(metrics.get('belfry_node_num_clients'), 1);
    assert.deepEqual(metrics.families.get('belfry_client_connections_inflight').samples, []);
  });

  test('of commands, how long they took and which were refused', async t => {
    const hub = await startMetricsHub(t);
    const session = await openSubscribed(t, hub, 'kept:a');
    await session.error('subscribe', { channel: 'nowhere:a' });
    await session.error('history', { channel: 'live:a', limit: 1 });
    await session.ok('history', { channel: 'kept:a', limit: 1 });
    await session.error('presence', { channel: 'kept:a' });
    const metrics = await scrape(hub);
    const durations = method => metrics.histogram('belfry_client_command_duration_seconds_histogram', { method });
    assert.deepEqual(['connect', 'subscribe', 'history', 'presence'].map(method => durations(method).count), [1, 2, 2, 1]);
    assert.ok(durations('history').sum > 0 && durations('history').sum < 60);
    const errors = (method, code) => metrics.get('belfry_client_num_reply_errors', { method, code });
    assert.deepEqual([errors('subscribe', '102'), errors('history', '108'), errors('presence', '108')], [1, 1, 1]);
  });

  test('of a command that waits for a backend, as long as it waits', async t => {
    const backend = await startBackend(t, { '/rpc': () => new Promise(resolve => { answerNow = resolve; }) });
    let answerNow;
    const hub = await startMetricsHub(t, { rpc: { proxy: { enabled: true, endpoint: `${backend.url}/rpc`, timeout: '1h' }, without_namespace: { proxy_enabled: true } } });
    const session = await openSession(t, hub);
    const reply = session.error('rpc', { method: 'any', data: {} });
    await backend.next('/rpc');
    const rpc = { protocol: 'http', type: 'rpc', name: 'default' };
    let metrics = await scrape(hub);
    assert.equal(metrics.get('belfry_proxy_inflight_requests', rpc), 1);
    assert.equal(metrics.histogram('belfry_proxy_duration_seconds_histogram', rpc).count, 0);
    assert.throws(() => metrics.histogram('belfry_client_command_duration_seconds_histogram', { method: 'rpc' }));
    answerNow({ error: { code: 4321, message: 'no' } });
    await reply;
    metrics = await scrape(hub);
    assert.equal(metrics.get('belfry_proxy_inflight_requests', rpc), 0);
    assert.equal(metrics.histogram('belfry_proxy_duration_seconds_histogram', rpc).count, 1);
    assert.equal(metrics.histogram('belfry_client_command_duration_seconds_histogram', { method: 'rpc' }).count, 1);
    assert.equal(metrics.get('belfry_client_num_reply_errors', { method: 'rpc', code: 'other' }), 1); // codes of backends are no labels
  });

  test('of those whom the hub sent away, by code and transport', async t => {
    const hub = await startMetricsHub(t, EVERY_TRANSPORT);
    const [bad, gone] = await Promise.all([1, 2].map(() => openSession(t, hub)));
    bad.send('no command');
    gone.ws.close(1000);
    await Promise.all([bad.closed, gone.closed]);
    const stream = await openStream(t, hub, 'sse');
    await stream.send('no command');
    await stream.ended;
    const metrics = await scrape(hub);
    assert.deepEqual(metrics.families.get('belfry_client_num_server_disconnects').samples.map(({ labels, value }) => [labels.code, value]), [['3501', 2]]);
    for (const transport of ['websocket', 'sse']) assert.equal(metrics.get('belfry_transport_outgoing_close_count', { transport, code: '3501' }), 1);
  });

  test('of messages and their bytes, both ways', async t => {
    const hub = await startMetricsHub(t);
    const session = await openSubscribed(t, hub, 'live:a');
    const earlier = await scrape(hub);
    const get = (metrics, what) => metrics.get(`belfry_transport_messages_${what}`, websocket);
    await publish(hub, 'live:a', 1);
    const push = await session.nextPush();
    const later = await scrape(hub);
    assert.equal(get(later, 'sent') - get(earlier, 'sent'), 1);
    assert.equal(get(later, 'sent_size') - get(earlier, 'sent_size'), Buffer.byteLength(textOf(push)));
    assert.deepEqual([get(later, 'received'), get(later, 'received_size')], [get(earlier, 'received'), get(earlier, 'received_size')]);
    const command = JSON.stringify({ id: 99, unsubscribe: { channel: 'live:a' } });
    session.send(command);
    await session.call('unsubscribe', { channel: 'live:a' });
    const last = await scrape(hub);
    assert.equal(get(last, 'received') - get(later, 'received'), 2);
    assert.ok(get(last, 'received_size') - get(later, 'received_size') > Buffer.byteLength(command));
  });

  test('of what waits for one who does not read, until it is sent away', async t => {
    const hub = await startMetricsHub(t, { client: { insecure: true, queue_max_size: 3_000_000 } });
    const session = await openSubscribed(t, hub, 'live:a');
    session.ws.pause();
    const outbox = async () => {
      const metrics = await scrape(hub);
      return ['outbox_bytes', 'outbox_clients', 'slow_consumers_total'].map(what => metrics.get(`belfry_${what}`));
    };
    assert.deepEqual(await outbox(), [0, 0, 0]);
    let state = [0, 0, 0];
    const data = 'x'.repeat(500_000);
    while (state[1] === 0) { // what the sockets between hold comes first
      await hub.call('publish', { channel: 'live:a', data });
      state = await outbox();
    }
    assert.ok(state[0] >= 500_000 && state[0] < 3_600_000, `${state}`);
    while (state[2] === 0) {
      await hub.call('publish', { channel: 'live:a', data });
      state = await outbox();
    }
    assert.deepEqual(state, [0, 0, 1]);
    session.ws.resume();
  });

  test('of what waited for one who reads again', async t => {
    const hub = await startMetricsHub(t, { client: { insecure: true, queue_max_size: 100_000_000 } });
    const session = await openSubscribed(t, hub, 'live:a');
    session.ws.pause();
    const data = 'x'.repeat(500_000);
    let n = 0;
    while ((await scrape(hub)).get('belfry_outbox_bytes') === 0) {
      await hub.call('publish', { channel: 'live:a', data });
      n += 1;
    }
    session.ws.resume();
    for (let i = 0; i < n; i += 1) await session.nextPush();
    const metrics = await scrape(hub);
    assert.deepEqual([metrics.get('belfry_outbox_bytes'), metrics.get('belfry_outbox_clients')], [0, 0]);
  });

  test('of pings, joins and how long deliveries take', async t => {
    const hub = await startMetricsHub(t, { client: { insecure: true, ping_interval: '1s', pong_timeout: '900ms' }, channel: { without_namespace: { presence: true, join_leave: true, force_push_join_leave: true } } });
    const first = await openSubscribed(t, hub, 'room');
    const second = await openSubscribed(t, hub, 'room');
    await second.ok('unsubscribe', { channel: 'room' });
    await first.nextPing();
    await first.call('unsubscribe', { channel: 'room' });
    const metrics = await scrape(hub);
    assert.ok(metrics.histogram('belfry_client_ping_pong_duration_seconds', websocket).count >= 1);
    assert.deepEqual(['join', 'leave'].map(type => metrics.get('belfry_node_messages_sent_count', { type }) > 0), [true, true]);
    const times = type => metrics.histogram('belfry_node_broadcast_duration_seconds', { type });
    assert.ok(times('join').count > 0 && times('leave').count > 0);
    assert.equal(times('publication').count, 0);
  });

  test('of subscriptions that the hub ended', async t => {
    const backend = await startBackend(t, { '/connect': { result: { user: 'u' } } });
    const hub = await startMetricsHub(t, { client: { insecure: true, proxy: { connect: { enabled: true, endpoint: `${backend.url}/connect` } } } });
    const session = await openSubscribed(t, hub, 'live:a');
    await hub.call('unsubscribe', { user: 'u', channel: 'live:a' });
    await session.nextPush();
    assert.equal((await scrape(hub)).get('belfry_client_num_server_unsubscribes', { code: '2000' }), 1);
  });

  test('of HTTP requests, by method and status', async t => {
    const hub = await startMetricsHub(t);
    await hub.call('info');
    await hub.api('info', {}, { key: 'wrong' });
    await hub.request('GET', '/nothing/here');
    await hub.request('BREW', '/nothing/here').catch(() => {});
    const metrics = await scrape(hub);
    const get = (method, status) => metrics.get('belfry_node_incoming_http_requests_total', { method, status });
    assert.deepEqual([get('POST', '200'), get('POST', '401'), get('GET', '404')], [1, 1, 1]);
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
