// Who may call the API: the ways to send a key, several keys and what each of them is for.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { check } from './lib/command.mjs';
import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { parseMetrics } from './lib/prometheus.mjs';

const READER = 'the-key-of-the-reader';
const WRITER = 'the-key-of-the-writer';
const ALL = 'the-key-of-everything';
const keys = [
  { name: 'reader', key: READER, methods: ['history', 'info', 'presence'] },
  { name: 'writer', key: WRITER, methods: ['publish', 'broadcast'] },
  { name: 'all', key: ALL },
];
const channel = { without_namespace: { history_size: 10, history_ttl: '1h' } };

const startKeyHub = (t, http_api = { keys }, more = {}) => startHub(t, { config: { http_api, channel, ...more } });
const info = (hub, { query = '', headers = {} }) => hub.request('POST', `/api/info${query}`, { body: '{}', headers });

describe('the key', { concurrency: true }, () => {
  test('comes in one of three ways', async t => {
    const key = 'k/&=+ %41';
    const hub = await startKeyHub(t, { key });
    for (const [what, how, status] of [
      ['X-API-Key', { headers: { 'X-API-Key': key } }, 200],
      ['Authorization', { headers: { Authorization: `apikey ${key}` } }, 200],
      ['Authorization in other letters', { headers: { Authorization: `ApiKey   ${key}` } }, 200],
      ['an argument', { query: `?api_key=${encodeURIComponent(key)}` }, 200],
      ['an argument behind others', { query: `?a=1&api_key_=x&api_key=${encodeURIComponent(key)}&b` }, 200],
      ['an argument beside another scheme', { query: `?api_key=${encodeURIComponent(key)}`, headers: { Authorization: 'Bearer x' } }, 200],
      ['an argument beside a wrong header', { query: `?api_key=${encodeURIComponent(key)}`, headers: { 'X-API-Key': 'x' } }, 200],
      ['no way', {}, 401],
      ['another scheme', { headers: { Authorization: `Bearer ${key}` } }, 401],
      ['another argument', { query: `?apikey=${encodeURIComponent(key)}` }, 401],
      ['the beginning', { headers: { 'X-API-Key': key.slice(0, -1) } }, 401],
      ['more than all', { headers: { 'X-API-Key': `${key}x` } }, 401],
      ['an empty argument', { query: '?api_key=' }, 401],
    ]) {
      const answer = await info(hub, how);
      assert.equal(answer.status, status, what);
      if (status === 401) assert.equal(answer.text, '', what);
    }
  });

  test('that is empty lets nobody in', async t => {
    const hub = await startKeyHub(t, { key: '' });
    for (const how of [{}, { headers: { 'X-API-Key': '' } }, { query: '?api_key=' }, { headers: { Authorization: 'apikey ' } }]) {
      assert.equal((await info(hub, how)).status, 401);
    }
  });

  test('is in no line of the log', async t => {
    const hub = await startKeyHub(t, { key: 'a-secret-to-be-kept', keys }, { log: { level: 'trace' }, http_server: { access_log: { enabled: true } } });
    for (const query of ['?api_key=a-secret-to-be-kept', '?api_key=a-wrong-secret', `?api_key=${READER}`]) await info(hub, { query });
    await hub.api('publish', { channel: 'a', data: 1 }, { key: READER });
    await hub.waitForLine(line => line.includes('access request') && line.includes('403'));
    await hub.stop();
    const log = hub.lines.join('\n');
    for (const secret of ['a-secret-to-be-kept', 'a-wrong-secret', READER]) assert.ok(!log.includes(secret), secret);
  });
});

describe('several keys', { concurrency: true }, () => {
  test('are for some methods, or for all', async t => {
    const hub = await startKeyHub(t);
    const asks = (key, method) => hub.api(method, { channel: 'a', data: 1 }, { key, odd: 'one body for all methods' });
    for (const [key, method, status] of [
      [READER, 'history', 200], [READER, 'publish', 403], [READER, 'channels', 403], [READER, 'nope', 404],
      [WRITER, 'publish', 200], [WRITER, 'history', 403],
      [ALL, 'publish', 200], [ALL, 'history', 200], [ALL, 'channels', 200],
      [hub.key, 'publish', 200], [hub.key, 'channels', 200], ['nobody', 'publish', 401],
    ]) assert.equal((await asks(key, method)).status, status, `${key} ${method}`);
    const { json } = await asks(READER, 'publish');
    assert.deepEqual(json, { error: { code: 103, message: 'permission denied: the key "reader" is not for publish' } });
    await hub.waitForLine(line => /api method_denied key=reader method=publish/.test(line));
  });

  test('refuse single commands of a batch and of a stream of calls', async t => {
    const hub = await startKeyHub(t);
    const commands = [{ publish: { channel: 'a', data: 1 } }, { history: { channel: 'a' } }, { publish: { channel: 'a', data: 2 } }];
    for (const parallel of [false, true]) {
      const { status, json } = await hub.api('batch', { commands, parallel }, { key: WRITER });
      assert.equal(status, 200);
      assert.deepEqual(json.replies.map(reply => reply.error?.code ?? 'done'), ['done', 103, 'done']);
      assert.match(json.replies[1].error.message, /the key "writer" is not for history/);
    }
    const body = '{"id":1,"method":"publish","params":{"channel":"a","data":5}}{"id":2,"method":"info"}';
    const { status, text } = await hub.request('POST', `/api?api_key=${WRITER}`, { body });
    assert.equal(status, 200);
    assert.deepEqual(text.split('\n').map(line => JSON.parse(line).error?.code ?? 'done'), ['done', 103]);
    assert.equal((await hub.call('history', { channel: 'a' })).offset, 5);
  });

  test('serve without a main key', async t => {
    const hub = await startKeyHub(t, { key: '', keys });
    assert.equal((await hub.api('info', {}, { key: READER })).status, 200);
    assert.equal((await hub.api('info', {}, { key: '' })).status, 401);
    assert.equal((await hub.api('info', {}, { key: null })).status, 401);
  });

  test('are for feeds and for the proxy, too', async t => {
    const gate = await startGate(t, { open: true });
    const hub = await startKeyHub(t, { keys: [
      { name: 'gets', key: 'the-key-that-gets', methods: ['feed_get'] }, { name: 'refreshes', key: 'the-key-that-refreshes', methods: ['feed_refresh'] },
      { name: 'passes', key: 'the-key-that-passes', methods: ['url_proxy'] },
    ] }, {
      feeds: [{ name: 'feed', channel: 'feed', upstreams: [{ name: 'one', url: gate.url }] }],
      url_proxy: { enabled: true }, upstreams: { allow_hosts: [new URL(gate.url).host] },
    });
    const get = async (key, path) => (await hub.request('GET', path, { headers: { 'X-API-Key': key } })).status;
    const proxied = `/proxy?url=${encodeURIComponent(gate.url)}`;
    for (const [key, page, fresh, proxy] of [
      ['the-key-that-gets', 200, 403, 403], ['the-key-that-refreshes', 403, 200, 403], ['the-key-that-passes', 403, 403, 200],
      [hub.key, 200, 200, 200], ['nobody', 401, 401, 401],
    ]) {
      assert.deepEqual([await get(key, '/feeds/feed'), await get(key, '/feeds/feed?fresh=1'), await get(key, proxied)], [page, fresh, proxy], key);
    }
  });

  test('have figures of their own, and stand in the access log', async t => {
    const hub = await startKeyHub(t, { keys }, { prometheus: { enabled: true }, http_server: { access_log: { enabled: true } } });
    await hub.api('info', {}, { key: READER });
    await hub.waitForLine(line => line.includes('access request') && line.includes(' path=/api/info') && line.includes(' key=reader'));
    await hub.api('publish', { channel: 'a', data: 1 }, { key: READER });
    await hub.api('batch', { commands: [{ publish: { channel: 'a', data: 1 } }, { publish: { channel: 'a' } }] }, { key: WRITER });
    await hub.api('info', {}, { key: 'nobody' });
    const metrics = parseMetrics((await hub.request('GET', '/metrics')).text);
    const calls = key => [metrics.get('belfry_api_key_commands_total', { key }), metrics.get('belfry_api_key_denied_total', { key })];
    assert.deepEqual([calls('reader'), calls('writer'), calls('all'), calls('http_api.key')], [[2, 1], [2, 0], [0, 0], [0, 0]]);
    assert.equal(metrics.get('belfry_api_unauthorized_total'), 1);
    const errors = (method, error) => metrics.get('belfry_api_command_errors_total', { protocol: 'http', method, error });
    assert.deepEqual([errors('publish', '103'), errors('publish', '107')], [1, 1]);
    const durations = method => metrics.histogram('belfry_api_command_duration_seconds_histogram', { protocol: 'http', method }).count;
    assert.deepEqual([durations('publish'), durations('info'), durations('batch')], [3, 1, 1]);
  });

  test('are looked at before the hub begins', async t => {
    const withKeys = (...list) => ({ http_api: { key: 'the-main-key-of-all', keys: list } });
    for (const [what, list, pattern] of [
      ['an unknown method', [{ ...keys[0], methods: ['history', 'histori'] }], /http_api\.keys\[0\]\.methods\[1\]: .*the name of a method/],
      ['a name twice', [keys[0], { ...keys[1], name: 'reader' }], /http_api\.keys\[1\]\.name: "reader" is not a name that no other key has/],
      ['a key twice', [keys[0], { ...keys[1], key: READER }], /http_api\.keys\[1\]\.key: .*a key that is not used twice/],
      ['the main key again', [{ ...keys[0], key: 'the-main-key-of-all' }], /http_api\.keys\[0\]\.key: .*a key that is not used twice/],
      ['a short key', [{ ...keys[0], key: 'short' }], /http_api\.keys\[0\]\.key: .*16/],
      ['an empty list of methods', [{ ...keys[0], methods: [] }], /http_api\.keys\[0\]\.methods: .*a list of one method or more/],
      ['a line end behind the key', [{ ...keys[0], key: `${READER}\n` }], /http_api\.keys\[0\]\.key: .*without control characters/],
      ['a blank behind the key', [{ ...keys[0], key: `${READER} ` }], /http_api\.keys\[0\]\.key: .*without blanks around it/],
      ['a name with a blank', [{ ...keys[0], name: 'a b' }], /http_api\.keys\[0\]\.name: "a b" is not a name of 1 to 64 letters/],
      ['no name', [{ key: READER }], /http_api\.keys\[0\]\.name: missing/],
      ['no key', [{ name: 'reader' }], /http_api\.keys\[0\]\.key: missing/],
      ['too many', Array.from({ length: 101 }, (_, i) => ({ name: `key-${i}`, key: `the-key-number-${i}` })), /http_api\.keys: .*100/],
    ]) {
      const { code, text } = await check(t, withKeys(...list));
      assert.notEqual(code, 0, what);
      assert.match(text, pattern, what);
      assert.ok(!text.includes(READER) && !text.includes('the-main-key-of-all'), `${what}: ${text}`);
    }
    assert.equal((await check(t, withKeys(...keys))).code, 0);
  });
});
