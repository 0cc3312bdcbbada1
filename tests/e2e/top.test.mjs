// belfry top: what a hub does, once as text, or in a terminal, which is left clean.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { makeCertificate, tlsConfig } from './lib/certificate.mjs';
import { belfry, temporaryFolder } from './lib/command.mjs';
import { feedOf, refresh, startFeedHub } from './lib/feed.mjs';
import { API_KEY, startHub } from './lib/hub.mjs';
import { parseMetrics } from './lib/prometheus.mjs';
import { openSession } from './lib/session.mjs';
import { assertClean, startTerminal } from './lib/terminal.mjs';
import { refusedUrl, startUpstream } from './lib/upstream.mjs';

const HALF = 'a-key-for-one-method';
const insecure = { client: { insecure: true } };

/** Lines "kind name=value ...": { kind, name: value, ... } */
function linesOf(out) {
  return out.trimEnd().split('\n').map(line => {
    const [kind, ...pairs] = line.split(' ');
    return { kind, ...Object.fromEntries(pairs.map(pair => pair.split(/=(.*)/s, 2))) };
  });
}

const once = (url, args = [], options) => belfry(['top', '--once', '--url', url, ...args], options);
const withKey = (url, ...args) => once(url, ['--key', API_KEY, ...args]);

async function startWithFeed(t) {
  const upstream = await startUpstream(t);
  const feed = feedOf({ good: `${upstream.url}/json?latency=100ms`, bad: `${upstream.url}/status/503` });
  const hub = await startFeedHub(t, [feed, { name: 'idle', channel: 'live:idle', upstreams: [{ name: 'only', url: upstream.url }] }],
    { config: { ...insecure, channel: { namespaces: [{ name: 'live' }, { name: 'log', history_size: 10, history_ttl: '1h' }] } } });
  return hub;
}

/** A server that says what it is told to, whatever is asked. */
async function startFake(t, { status = 200, body }) {
  const server = http.createServer((request, response) => {
    request.resume();
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(body);
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

describe('top --once', { concurrency: true }, () => {
  test('prints what the API and /metrics say', async t => {
    const hub = await startWithFeed(t);
    for (const user of ['a', 'b', 'b']) {
      const session = await openSession(t, hub);
      await session.ok('subscribe', { channel: 'log:x' });
      await session.ok('subscribe', { channel: `log:${user}` });
    }
    for (const n of [1, 2]) await hub.call('publish', { channel: 'log:x', data: n });
    await Promise.all([refresh(hub), refresh(hub)]); // one run for both
    await refresh(hub);

    const { code, out, text } = await withKey(hub.url);
    assert.equal(code, 0, text);
    assert.equal(text, out, 'nothing on stderr');
    const lines = linesOf(out);
    assert.deepEqual(lines.map(({ kind }) => kind), ['hub', 'metrics', 'feed', 'feed', 'upstream', 'upstream', 'upstream']);

    const [node] = (await hub.call('info')).nodes;
    const [shown, metrics] = lines;
    assert.equal(shown.version, node.version);
    for (const name of ['num_clients', 'num_users', 'num_subs', 'num_channels']) assert.equal(Number(shown[name]), node[name], name);
    assert.deepEqual([node.num_clients, node.num_subs], [3, 6], 'the figures are not all 0');

    const told = parseMetrics((await hub.request('GET', '/metrics')).text);
    const sum = family => told.families.get(family).samples.reduce((total, { value }) => total + value, 0);
    assert.equal(Number(metrics.publications), told.get('belfry_publications_total'));
    assert.equal(Number(metrics.messages_in), sum('belfry_transport_messages_received'));
    assert.equal(Number(metrics.bytes_in), sum('belfry_transport_messages_received_size'));
    assert.equal(Number(metrics.messages_out), sum('belfry_node_messages_sent_count'));
    assert.equal(Number(metrics.bytes_out), sum('belfry_transport_messages_sent_size'));
    assert.equal(Number(metrics.commits), told.get('belfry_storage_groups_total'));
    assert.equal(Number(metrics.queue_max_bytes), told.get('belfry_storage_queue_max_bytes'));
    assert.ok(metrics.publications >= 3 && metrics.messages_in >= 9 && metrics.messages_out >= 6 && metrics.loop_lag_p99_ms > 0 && metrics.commit_p50_ms > 0, out);

    const { feeds } = await hub.call('feeds');
    feeds.forEach(({ name, state }, i) => {
      const { kind, name: ownName, p50_ms, p90_ms, p99_ms, ...figures } = lines[2 + i];
      assert.equal(ownName, name);
      assert.deepEqual(Object.fromEntries(Object.entries(figures).map(([key, value]) => [key, Number(value)])), state);
    });
    assert.deepEqual([feeds[0].state.refreshes, feeds[0].state.shared], [2, 1]);
    const upstreams = feeds.flatMap(feed => feed.upstreams.map(one => ({ feed: feed.name, ...one })));
    upstreams.forEach(({ outcomes, ...rest }, i) => {
      const expected = Object.entries({ ...rest, ...outcomes }).filter(([, value]) => value !== null).map(([key, value]) => [key, String(value)]);
      const { kind, ...figures } = lines[4 + i];
      assert.deepEqual(figures, Object.fromEntries(expected));
    });
    assert.equal(upstreams[1].outcomes.http_error, 2);
    assert.equal(lines[2].p99_ms, String(Math.max(...feeds[0].upstreams.map(one => one.p99_ms))), 'of its slowest upstream');
  });

  test('is what happens where the output is no terminal', async t => {
    const hub = await startHub(t);
    const { code, out } = await belfry(['top', '--url', `${hub.url}/`], { env: { BELFRY_KEY: API_KEY } });
    assert.equal(code, 0);
    assert.match(out, /^hub version=\S+ num_clients=0 /);
  });

  test('has a variable for its key that hubs do not complain of', async t => {
    const hub = await startHub(t, { env: { BELFRY_KEY: 'a', BELFRY_KEYS: 'b' } });
    const complaints = hub.lines.filter(line => line.includes('unknown_environment_variable'));
    assert.deepEqual(complaints.map(line => line.replace(/^.* name=/, '')), ['BELFRY_KEYS']);
  });

  test('does without /metrics, and says so', async t => {
    const hub = await startHub(t);
    const { code, out, text } = await withKey(hub.url);
    assert.equal(code, 0);
    assert.match(out, /^hub [^\n]*\n$/);
    assert.equal(text.replace(out, ''), `belfry top: messages, loop lag and storage are not told: status 404 of ${hub.url}/metrics\n`);
  });

  test('finds /metrics elsewhere', async t => {
    const hub = await startHub(t, { config: { prometheus: { enabled: true, handler_prefix: '/figures' } } });
    const { code, text } = await withKey(hub.url, '--metrics', '/figures');
    assert.equal(code, 0);
    assert.match(text, /^hub [^\n]*\nmetrics publications=0 [^\n]*\n$/);
  });

  test('says when the key is wrong, or missing, or not for all of it', async t => {
    const hub = await startHub(t, { config: { http_api: { keys: [{ name: 'half', key: HALF, methods: ['info'] }] }, prometheus: { enabled: true } } });
    const wrong = await once(hub.url, ['--key', 'wrong']);
    assert.deepEqual([wrong.code, wrong.text], [1, 'belfry top: wrong key: the hub does not take it\n']);
    const none = await once(hub.url);
    assert.deepEqual([none.code, none.text], [1, 'belfry top: no key: the hub wants one (--key, or BELFRY_KEY)\n']);
    const option = await once(hub.url, ['--key', 'wrong'], { env: { BELFRY_KEY: API_KEY } });
    assert.equal(option.code, 1, 'the option counts more');
    const half = await once(hub.url, ['--key', HALF]);
    assert.equal(half.code, 1);
    assert.match(half.out, /^hub [^\n]*\nmetrics [^\n]*\n$/);
    assert.match(half.text, /^belfry top: feeds: permission denied\b.*$/m);
    const odd = await once(hub.url, ['--key', 'a\nb']);
    assert.deepEqual([odd.code, odd.text], [1, 'belfry top: the key cannot stand in a header\n']);
  });

  test('says when there is no hub', async t => {
    const upstream = await startUpstream(t);
    const cases = [
      [await refusedUrl(t, upstream), /^belfry top: not reached: Failed to connect to 127\.0\.0\.1 port \d+ .*\n$/],
      [upstream.url, /^belfry top: no server API there: status 404 of http:\/\/127\.0\.0\.1:\d+\/api\/batch\n$/],
      [await startFake(t, { body: 'hello' }), /^belfry top: that is no answer of a hub\n$/],
      [await startFake(t, { body: '{"replies":[]}' }), /^belfry top: that is no answer of a hub\n$/],
      [await startFake(t, { status: 500, body: '{}' }), /^belfry top: status 500, expected the answer of a hub's API\n$/],
    ];
    for (const [url, expected] of cases) {
      const { code, out, text } = await withKey(url);
      assert.deepEqual([code, out], [1, '']);
      assert.match(text, expected);
    }
  });

  test('asks over TLS, with an authority of its own', async t => {
    const dir = await temporaryFolder(t);
    const certificate = await makeCertificate(dir);
    const hub = await startHub(t, { config: tlsConfig(certificate), ca: certificate.ca });
    const good = await withKey(hub.url, '--ca', certificate.certFile);
    assert.equal(good.code, 0, good.text);
    assert.match(good.out, /^hub version=/);
    const unknown = await withKey(hub.url);
    assert.equal(unknown.code, 1);
    assert.match(unknown.text, /^belfry top: not reached: SSL certificate problem: self.signed certificate\n$/);
    const missing = await withKey(hub.url, '--ca', join(dir, 'none.pem'));
    assert.equal(missing.code, 1);
    assert.match(missing.text, /^belfry top: --ca \S+none\.pem: expected /);
  });

  test('refuses options that mean nothing', async () => {
    for (const [args, expected] of [
      [['--interval', '0'], /--interval is not a duration from 100ms to 1h/],
      [['--interval', '50ms'], /--interval/],
      [['--interval', '2h'], /--interval/],
      [['--interval', 'often'], /--interval/],
      [['--url', '127.0.0.1:8000'], /--url is not an http or https URL/],
      [['--url', 'ftp://127.0.0.1'], /--url/],
      [['--url', 'http://me:secret@127.0.0.1'], /--url/],
      [['--metrics', 'metrics'], /--metrics is not a path/],
      [['--once', 'more'], /"more" is one argument too many/],
    ]) {
      const { code, text } = await belfry(['top', ...args]);
      assert.equal(code, 2, text);
      assert.match(text, expected);
      assert.doesNotMatch(text, /secret/);
    }
  });
});

describe('top in a terminal', { concurrency: true }, () => {
  const start = (t, url, { args = [], ...options } = {}) =>
    startTerminal(t, ['top', '--url', url, '--key', API_KEY, '--interval', '100ms', ...args], options);

  test('shows the hub, obeys its keys, and leaves the terminal as it was', async t => {
    const hub = await startWithFeed(t);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'log:x' });
    await refresh(hub);
    const terminal = await start(t, hub.url);
    await terminal.shows(/connections {2}clients 1 {2}users 1 {2}subscriptions 1 /);
    await terminal.shows(/loop lag .*p99/);
    await terminal.shows(/feed\/bad .*http_error 1 ok 0/);
    await terminal.shows(/q quit {2}s sort: p99/);
    for (const order of ['failures\\/s', 'calls\\/s', 'name', 'p99']) {
      terminal.type('s');
      await terminal.shows(new RegExp(`s sort: ${order} `));
    }
    terminal.type('?');
    await terminal.shows(/sort upstreams by p99, failures\/s, calls\/s, name/);
    terminal.type('?');
    await terminal.shows(/^belfry /);
    terminal.type('p');
    await terminal.shows(/^belfry .* OLD\n[^]*paused: p goes on/);
    terminal.type('p');
    await terminal.shows(/q quit/);
    assert.doesNotMatch(terminal.screen, /OLD/);
    terminal.type('q');
    const end = await terminal.ended;
    assert.equal(end.code, 0);
    assertClean(terminal, end);
  });

  test('shows what changes', async t => {
    const hub = await startHub(t, { config: { ...insecure, prometheus: { enabled: true } } });
    const terminal = await start(t, hub.url);
    await terminal.shows(/clients 0 /);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'x' });
    await terminal.shows(/clients 1 .* subscriptions 1 /);
    const publishing = (async () => {
      for (const until = Date.now() + 60_000; !terminal.isDone && Date.now() < until;) await hub.call('publish', { channel: 'x', data: 1 });
    })();
    await terminal.shows(/ out [1-9][^]* published [1-9]/);
    terminal.isDone = true;
    await publishing;
    await terminal.shows(/ out 0 \(0B\/s\) {2}published 0/);
    terminal.type('q');
    assert.equal((await terminal.ended).code, 0);
  });

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT']) {
    test(`leaves the terminal as it was at ${signal}`, async t => {
      const hub = await startHub(t);
      const terminal = await start(t, hub.url);
      await terminal.shows(/clients 0 /);
      process.kill(terminal.pid, signal);
      const end = await terminal.ended;
      assert.equal(end.code, 0);
      assertClean(terminal, end);
    });
  }

  test('ends at Ctrl-C', async t => {
    const hub = await startHub(t);
    const terminal = await start(t, hub.url);
    await terminal.shows(/clients 0 /);
    terminal.type('\x03');
    assertClean(terminal, await terminal.ended);
  });

  test('ends when its terminal is gone', async t => {
    const hub = await startHub(t);
    const terminal = await start(t, hub.url);
    await terminal.shows(/clients 0 /);
    const { pid } = terminal;
    terminal.close();
    const state = async () => (await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'x (x) Z')).replace(/^.*\) /s, '')[0];
    for (const until = Date.now() + 30_000; (await state()) !== 'Z';) {
      assert.ok(Date.now() < until, 'it is still there');
      await delay(20);
    }
  });

  test('goes on when the hub goes away, and shows it again', async t => {
    const hub = await startHub(t);
    const terminal = await start(t, hub.url, { columns: 200 });
    await terminal.shows(/clients 0 /);
    await hub.stop();
    await terminal.shows(/not reached: Failed to connect .*; trying again/);
    await terminal.shows(/^belfry .* OLD/);
    await hub.restart();
    await terminal.shows(/q quit/);
    assert.doesNotMatch(terminal.screen, /OLD|not reached/);
    terminal.type('q');
    const end = await terminal.ended;
    assert.equal(end.code, 0);
    assertClean(terminal, end);
  });

  test('waits for a hub that is not there yet', async t => {
    const upstream = await startUpstream(t);
    const terminal = await start(t, await refusedUrl(t, upstream), { columns: 200 });
    await terminal.shows(/not reached: .*; trying again/);
    terminal.type('q');
    assertClean(terminal, await terminal.ended);
  });

  test('says when the key is wrong', async t => {
    const hub = await startHub(t);
    const terminal = await startTerminal(t, ['top', '--url', hub.url, '--key', 'wrong']);
    await terminal.shows(/wrong key: the hub does not take it; trying again/);
    terminal.type('q');
    assertClean(terminal, await terminal.ended);
  });

  test('scrolls', async t => {
    const names = Array.from({ length: 40 }, (_, i) => `feed-${String(i).padStart(2, '0')}`);
    const feeds = names.map(name => ({ name, channel: `live:${name}`, upstreams: [{ name: 'one', url: 'http://127.0.0.1:1/' }] }));
    const hub = await startHub(t, { config: { channel: { namespaces: [{ name: 'live' }] }, prometheus: { enabled: true }, feeds } });
    const terminal = await start(t, hub.url, { rows: 20 });
    await terminal.shows(/feed-00 [^]*feed-11 /);
    assert.doesNotMatch(terminal.screen, /feed-12|UPSTREAM/);
    // As a terminal writes its keys in this mode.
    const moves = [['\x1b[6~', /feed-11 [^]*feed-23 /], ['\x1b[6~', /feed-23 [^]*feed-35 /], ['\x1bOF', /feed-27\/one [^]*feed-39\/one /], ['\x1b[5~', /feed-15\/one [^]*feed-27\/one /],
      ['\x1bOH', /FEED [^]*feed-11 /], ['\x1bOB\x1bOB\x1bOB', /feed-02 [^]*feed-14 /], ['\x1bOA', /feed-01 [^]*feed-13 /]];
    for (const [keys, expected] of moves) {
      terminal.type(keys);
      await terminal.shows(expected);
      assert.match(terminal.screen, /^belfry [^]*\nconnections /, 'the head stays');
    }
    terminal.type('q');
    assertClean(terminal, await terminal.ended);
  });

  test('fits into any terminal', async t => {
    const hub = await startWithFeed(t);
    const terminal = await start(t, hub.url, { rows: 1, columns: 1 });
    for (const [rows, columns] of [[2, 2], [3, 10], [5, 200], [1, 80], [14, 3], [24, 1], [60, 300], [24, 80]]) {
      await terminal.resize(rows, columns);
      await terminal.shows(new RegExp(`^(?:${'[^\\n]*\\n'.repeat(rows - 1)})${'q quit  s sort: p99'.slice(0, columns).trimEnd()}`));
    }
    await terminal.shows(/connections {2}clients 0/);
    terminal.type('q');
    const end = await terminal.ended;
    assert.equal(end.code, 0);
    assertClean(terminal, end);
  });

  test('has colours where the terminal has them and nobody minds', async t => {
    const hub = await startHub(t);
    for (const [options, expected] of [
      [{}, true],
      [{ env: { NO_COLOR: '' } }, true],
      [{ env: { NO_COLOR: '1' } }, false],
      [{ term: 'vt100' }, false],
    ]) {
      const terminal = await start(t, hub.url, options);
      await terminal.shows(/clients 0 /);
      assert.equal(terminal.colourOf(/q quit/), expected ? 6 : -1, JSON.stringify(options));
      terminal.type('q');
      assert.equal((await terminal.ended).code, 0);
    }
  });

  test('says so where it cannot draw', async t => {
    for (const [term, expected] of [['dumb', /this kind of terminal \(TERM\) cannot be drawn on; --once prints plain text/], ['none-such', /this kind of terminal \(TERM\) is not known here; --once/]]) {
      const terminal = await start(t, 'http://127.0.0.1:1', { term, columns: 200 });
      const { code, before, after } = await terminal.ended;
      assert.equal(code, 1);
      assert.equal(after, before);
      assert.match(terminal.raw, expected);
      assert.doesNotMatch(terminal.raw, /\x1b/);
    }
  });

  test('prints once there, too, without touching the terminal', async t => {
    const hub = await startHub(t);
    const terminal = await start(t, hub.url, { args: ['--once'] });
    const { code } = await terminal.ended;
    assert.equal(code, 0);
    assert.match(terminal.raw, /\nhub version=/);
    assert.doesNotMatch(terminal.raw, /\x1b/);
  });

  test('shows nothing of a hub that a terminal would obey', async t => {
    const evil = '\u007f\u009b31m\u0085';
    const info = { nodes: [{ version: evil, num_clients: 5, uptime: 1 }] };
    const feeds = { feeds: [{ name: `evil${evil}\u001b[2J\u202e`, state: {}, upstreams: [{ name: evil, breaker: evil }] }] };
    const url = await startFake(t, { body: JSON.stringify({ replies: [{ info }, { feeds }] }) });
    const terminal = await start(t, url);
    await terminal.shows(/clients 5 .*evil\?/s);
    terminal.type('q');
    await terminal.ended;
    assert.doesNotMatch(terminal.raw, /[\u007f-\u{10ffff}]/u);
  });
});
