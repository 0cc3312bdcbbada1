// The server API: what backends post and what they are answered; and the HTTP that carries it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { startGate } from './lib/gate.mjs';
import { API_KEY, startHub } from './lib/hub.mjs';
import { within } from './lib/process.mjs';
import { openSession, textOf } from './lib/session.mjs';
import { makeToken, SECRET } from './lib/token.mjs';
import { head, openTcp } from './lib/raw.mjs';

const KEY = { 'X-API-Key': API_KEY };
const EXACT = '{"a":1.10,"b":12345678901234567890,"c":"\\u00e9 é","d":[1e3, -0.0],"e":{"e":null}}';

const open = { allow_subscribe_for_client: true, allow_publish_for_client: true };
const log = { name: 'log', history_size: 5, history_ttl: '1h', presence: true, ...open };
const plain = { name: 'plain', ...open };
const config = { client: { token: { hmac_secret_key: SECRET } }, channel: { namespaces: [log, plain], without_namespace: open } };

const startApiHub = (t, more = {}) => startHub(t, { config: { ...config, ...more } });
const session = (t, hub, user) => openSession(t, hub, { connect: { token: makeToken({ sub: user }) } });

/** Publishes n numbers to the channel and returns the epoch. */
async function publishNumbers(hub, channel, n) {
  let epoch;
  for (let data = 1; data <= n; data++) ({ epoch } = await hub.call('publish', { channel, data }));
  return epoch;
}

/** The error of a call that must be answered with 200 and one. */
async function errorOf(hub, method, body) {
  const { status, json, text } = await hub.api(method, body);
  assert.equal(status, 200, text);
  assert.deepEqual(Object.keys(json), ['error'], text);
  return json.error;
}

async function assertError(hub, method, body, code, message) {
  const error = await errorOf(hub, method, body);
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
}

async function assertServes(hub) {
  const { status } = await hub.request('GET', '/health');
  assert.equal(status, 200);
}

describe('publish', { concurrency: true }, () => {
  test('answers with offset and epoch where there is history, and with {} where not', async t => {
    const hub = await startApiHub(t);
    const first = await hub.call('publish', { channel: 'log:1', data: { n: 1 } });
    assert.deepEqual(Object.keys(first).sort(), ['epoch', 'offset']);
    assert.equal(first.offset, 1);
    assert.match(first.epoch, /^\w+$/);
    assert.deepEqual(await hub.call('publish', { channel: 'log:1', data: 2 }), { offset: 2, epoch: first.epoch });
    assert.deepEqual(await hub.call('publish', { channel: 'plain:1', data: 1 }), {});
    assert.deepEqual(await hub.call('publish', { channel: 'none', data: 1 }), {});
  });

  test('the first line of the answer is as documented', async t => {
    const hub = await startApiHub(t);
    const { status, headers, text } = await hub.api('publish', { channel: 'plain:1', data: 1 });
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/json');
    assert.equal(text, '{"result":{}}');
  });

  test('data reach subscribers and history byte for byte', async t => {
    const hub = await startApiHub(t);
    const subscriber = await session(t, hub, '1');
    await subscriber.ok('subscribe', { channel: 'log:1' });
    await hub.call('publish', `{"channel":"log:1","data":${EXACT}}`);
    assert.equal(textOf(await subscriber.nextPush()), `{"push":{"channel":"log:1","pub":{"data":${EXACT},"offset":1}}}`);
    const { text } = await hub.api('history', { channel: 'log:1', limit: 1 });
    assert.ok(text.includes(`"publications":[{"data":${EXACT},"offset":1}]`), text);
  });

  test('data of several lines become one, and nothing else of them changes', async t => {
    const hub = await startApiHub(t);
    const subscriber = await session(t, hub, '1');
    await subscriber.ok('subscribe', { channel: 'log:1' });
    await hub.call('publish', '{"channel":"log:1","data":{\r\n  "a": 1.10,\n  "b": "x\\ny"\n}}');
    assert.equal(textOf(await subscriber.nextPush()), '{"push":{"channel":"log:1","pub":{"data":{  "a": 1.10,  "b": "x\\ny"},"offset":1}}}');
  });

  test('any JSON value may be data, null too', async t => {
    const hub = await startApiHub(t);
    for (const value of ['null', 'false', '0', '""', '[]', '{}']) {
      await hub.call('publish', `{"channel":"log:${value.length}","data":${value}}`);
    }
    const { publications } = await hub.call('history', { channel: 'log:2', limit: -1 });
    assert.deepEqual(publications.map(({ data }) => data), ['', [], {}]);
  });

  test('tags come with the publication, live and from history', async t => {
    const hub = await startApiHub(t);
    const subscriber = await session(t, hub, '1');
    await subscriber.ok('subscribe', { channel: 'log:1' });
    const tags = { lang: 'eu', 'ä"': '1.10' };
    await hub.call('publish', { channel: 'log:1', data: 1, tags });
    assert.deepEqual((await subscriber.nextPush()).pub, { data: 1, offset: 1, tags });
    const { publications } = await hub.call('history', { channel: 'log:1', limit: 1 });
    assert.deepEqual(publications, [{ data: 1, offset: 1, tags }]);
  });

  test('skip_history publishes, and keeps nothing', async t => {
    const hub = await startApiHub(t);
    const subscriber = await session(t, hub, '1');
    await subscriber.ok('subscribe', { channel: 'log:1' });
    assert.deepEqual(await hub.call('publish', { channel: 'log:1', data: 'live only', skip_history: true }), {});
    assert.deepEqual((await subscriber.nextPush()).pub, { data: 'live only' });
    const { publications, offset } = await hub.call('history', { channel: 'log:1', limit: -1 });
    assert.deepEqual({ publications, offset }, { publications: [], offset: 0 });
  });

  test('is answered after the commit: a kill -9 right after the answer loses nothing', async t => {
    const hub = await startApiHub(t);
    const { epoch } = await hub.call('publish', { channel: 'log:1', data: EXACT });
    await hub.kill9();
    await hub.restart();
    assert.deepEqual(await hub.call('history', { channel: 'log:1', limit: -1 }), { publications: [{ data: EXACT, offset: 1 }], epoch, offset: 1 });
  });

  test('data may come as base64, of the JSON text', async t => {
    const hub = await startApiHub(t);
    const subscriber = await session(t, hub, '1');
    await subscriber.ok('subscribe', { channel: 'log:1' });
    const base64 = text => Buffer.from(text).toString('base64');
    for (const text of [EXACT, '1.10', '"ü"', 'null']) {
      await hub.call('publish', { channel: 'log:1', b64data: base64(text) });
      const push = textOf(await subscriber.nextPush());
      assert.ok(push.includes(`"data":${text},"offset"`), push);
    }
    await hub.call('publish', { channel: 'log:1', b64data: base64(' {\n"a": 1 }\n') });
    assert.ok(textOf(await subscriber.nextPush()).includes('"data":{"a": 1 },'));
    await hub.call('publish', `{"channel":"l\\u006fg:1","b64data":"${base64('"???>>>"').replaceAll('/', '\\/')}"}`);
    assert.equal((await subscriber.nextPush()).pub.data, '???>>>');
    const { responses } = await hub.call('broadcast', { channels: ['log:1', 'log:2'], b64data: base64('{"b":2}') });
    assert.deepEqual(responses.map(({ result }) => result.offset), [7, 1]);
    assert.deepEqual((await subscriber.nextPush()).pub.data, { b: 2 });
  });

  test('members may come in any order, escaped and with unknown ones between them', async t => {
    const hub = await startApiHub(t);
    await hub.call('publish', ' {"later":{"data":2},"\\u0064ata":1,"channel":"l\\u006fg:1"} ', { odd: 'an unknown member' });
    const { publications } = await hub.call('history', { channel: 'log:1', limit: 1 });
    assert.deepEqual(publications, [{ data: 1, offset: 1 }]);
  });
});

describe('broadcast', { concurrency: true }, () => {
  test('answers in the order of the channels, an unknown one in the middle', async t => {
    const hub = await startApiHub(t);
    const subscriber = await session(t, hub, '1');
    await subscriber.ok('subscribe', { channel: 'plain:1' });
    const epoch = await publishNumbers(hub, 'log:1', 2);
    const { responses } = await hub.call('broadcast', { channels: ['log:1', 'nowhere:1', 'plain:1', 'log:2', '', 'log:1'], data: 'x', tags: { a: 'b' } });
    assert.deepEqual(responses.map(response => response.result?.offset ?? response.error?.code ?? response.result), [3, 102, {}, 1, 107, 4]);
    assert.equal(responses[1].error.message, 'unknown channel');
    assert.equal(responses[0].result.epoch, epoch);
    assert.notEqual(responses[3].result.epoch, epoch);
    assert.deepEqual((await subscriber.nextPush()).pub, { data: 'x', tags: { a: 'b' } });
  });

  test('a thousand channels at once', async t => {
    const hub = await startApiHub(t);
    const channels = Array.from({ length: 1000 }, (_, i) => `log:${i}`);
    const { responses } = await hub.call('broadcast', { channels, data: 1 });
    assert.equal(responses.length, 1000);
    assert.ok(responses.every(({ result }) => result?.offset === 1));
  });

  test('what is wrong is named', async t => {
    const hub = await startApiHub(t);
    for (const channels of [undefined, [], 'log:1', ['log:1', 1], { 'log:1': 1 }]) {
      await assertError(hub, 'broadcast', { channels, data: 1 }, 107, /^bad request: channels: expected a list/);
    }
    await assertError(hub, 'broadcast', { channels: ['log:1'] }, 107, /^bad request: data: expected/);
  });
});

describe('history', { concurrency: true }, () => {
  test('without a limit only the position; with -1 all; never more than history_size', async t => {
    const hub = await startApiHub(t);
    const epoch = await publishNumbers(hub, 'log:1', 7);
    const numbers = async (more = {}) => (await hub.call('history', { channel: 'log:1', ...more })).publications.map(({ data }) => data);
    assert.deepEqual(await hub.call('history', { channel: 'log:1' }), { publications: [], epoch, offset: 7 });
    assert.deepEqual(await numbers({ limit: 0 }), []);
    assert.deepEqual(await numbers({ limit: -1 }), [3, 4, 5, 6, 7]);
    assert.deepEqual(await numbers({ limit: 2 }), [3, 4]);
    assert.deepEqual(await numbers({ limit: 1000 }), [3, 4, 5, 6, 7]);
  });

  test('since is exclusive, and reverse goes down from there', async t => {
    const hub = await startApiHub(t);
    const epoch = await publishNumbers(hub, 'log:1', 7);
    const offsets = async more => (await hub.call('history', { channel: 'log:1', limit: -1, ...more })).publications.map(({ offset }) => offset);
    assert.deepEqual(await offsets({ since: { offset: 5, epoch } }), [6, 7]);
    assert.deepEqual(await offsets({ since: { offset: 5 } }), [6, 7]);
    assert.deepEqual(await offsets({ since: { offset: 4, epoch }, limit: 2 }), [5, 6]);
    assert.deepEqual(await offsets({ since: { offset: 7, epoch } }), []);
    assert.deepEqual(await offsets({ reverse: true }), [7, 6, 5, 4, 3]);
    assert.deepEqual(await offsets({ reverse: true, limit: 2 }), [7, 6]);
    assert.deepEqual(await offsets({ reverse: true, since: { offset: 6, epoch } }), [5, 4, 3]);
  });

  test('of a channel in which nothing was published', async t => {
    const hub = await startApiHub(t);
    const first = await hub.call('history', { channel: 'log:new', limit: -1 });
    assert.deepEqual({ ...first, epoch: '' }, { publications: [], epoch: '', offset: 0 });
    const { offset, epoch } = await hub.call('publish', { channel: 'log:new', data: 1 });
    assert.deepEqual({ offset, epoch }, { offset: 1, epoch: first.epoch }, 'the position that was handed out stays true');
  });

  test('108 without history, 112 for another epoch, 107 for what cannot be', async t => {
    const hub = await startApiHub(t);
    await publishNumbers(hub, 'log:1', 1);
    await assertError(hub, 'history', { channel: 'plain:1', limit: 1 }, 108, /^not available/);
    await assertError(hub, 'history', { channel: 'log:1', limit: 1, since: { offset: 1, epoch: 'gone' } }, 112, /^unrecoverable position/);
    await assertError(hub, 'history', { channel: 'log:1', limit: 1, since: { offset: 1, epoch: 'e'.repeat(500) } }, 112, /^unrecoverable position/);
    await assertError(hub, 'history', { channel: 'log:1', limit: -2 }, 107, /^bad request/);
    await assertError(hub, 'history', { channel: 'log:1', reverse: true, since: { offset: 0 } }, 107, /^bad request/);
  });
});

describe('presence, channels and info', { concurrency: true }, () => {
  test('presence names clients and users, presence_stats counts them', async t => {
    const hub = await startApiHub(t);
    const all = [await session(t, hub, 'ann'), await session(t, hub, 'ann'), await session(t, hub, 'bob')];
    for (const one of all) await one.ok('subscribe', { channel: 'log:1' });
    const { presence } = await hub.call('presence', { channel: 'log:1' });
    assert.deepEqual(presence, Object.fromEntries(all.map(({ id }, i) => [id, { client: id, user: ['ann', 'ann', 'bob'][i] }])));
    assert.deepEqual(await hub.call('presence_stats', { channel: 'log:1' }), { num_clients: 3, num_users: 2 });
    await all[0].ok('unsubscribe', { channel: 'log:1' });
    assert.deepEqual(await hub.call('presence_stats', { channel: 'log:1' }), { num_clients: 2, num_users: 2 });
    assert.deepEqual(await hub.call('presence', { channel: 'log:empty' }), { presence: {} });
    assert.deepEqual(await hub.call('presence_stats', { channel: 'log:empty' }), { num_clients: 0, num_users: 0 });
  });

  test('presence is 108 where it is off and 102 where there is no such namespace', async t => {
    const hub = await startApiHub(t);
    for (const method of ['presence', 'presence_stats']) {
      await assertError(hub, method, { channel: 'plain:1' }, 108, /^not available/);
      await assertError(hub, method, { channel: 'nowhere:1' }, 102, /^unknown channel/);
      await assertError(hub, method, {}, 107, /^bad request/);
    }
  });

  test('channels lists those with subscribers, by glob', async t => {
    const hub = await startApiHub(t);
    const [ann, bob] = [await session(t, hub, 'ann'), await session(t, hub, 'bob')];
    for (const channel of ['log:1', 'log:22', 'plain:1', 'lobby']) await ann.ok('subscribe', { channel });
    await bob.ok('subscribe', { channel: 'log:22' });
    await publishNumbers(hub, 'log:nobody', 1);
    const list = async pattern => (await hub.call('channels', { pattern })).channels;
    const all = { 'log:1': { num_clients: 1 }, 'log:22': { num_clients: 2 }, 'plain:1': { num_clients: 1 }, lobby: { num_clients: 1 } };
    assert.deepEqual(await list(undefined), all);
    assert.deepEqual(await list(''), all);
    assert.deepEqual(await list('*'), all);
    assert.deepEqual(Object.keys(await list('log:*')).sort(), ['log:1', 'log:22']);
    assert.deepEqual(Object.keys(await list('log:?')), ['log:1']);
    assert.deepEqual(Object.keys(await list('*:1')).sort(), ['log:1', 'plain:1']);
    assert.deepEqual(await list('nothing*'), {});
  });

  test('info counts', async t => {
    const hub = await startApiHub(t);
    const [ann, ann2, bob] = [await session(t, hub, 'ann'), await session(t, hub, 'ann'), await session(t, hub, 'bob')];
    for (const one of [ann, ann2]) await one.ok('subscribe', { channel: 'log:1' });
    await bob.ok('subscribe', { channel: 'plain:1' });
    const { nodes: [node, ...others] } = await hub.call('info');
    assert.deepEqual(others, []);
    const { uid, version, uptime, process: { cpu, rss }, ...counts } = node;
    assert.match(uid, /^[0-9a-f-]{36}$/);
    assert.match(version, /^\d+\.\d+\.\d+$/);
    assert.ok(Number.isInteger(uptime) && uptime >= 0);
    assert.ok(cpu >= 0 && rss > 1_000_000);
    assert.deepEqual(counts, { name: 'belfry', num_clients: 3, num_users: 2, num_subs: 3, num_channels: 2 });
  });
});

describe('what is wrong with a call', { concurrency: true }, () => {
  test('102 for a channel of an unknown namespace', async t => {
    const hub = await startApiHub(t);
    await assertError(hub, 'publish', { channel: 'nowhere:1', data: 1 }, 102, /^unknown channel/);
    await assertError(hub, 'history', { channel: 'nowhere:1' }, 102, /^unknown channel/);
  });

  test('102 names the namespace', async t => {
    const hub = await startApiHub(t);
    for (const channel of ['nowhere:1', '$nowhere:1:2', ':1', 'a"b:1']) {
      for (const [method, more] of [['publish', { data: 1 }], ['history', {}], ['history_remove', {}], ['presence', {}], ['presence_stats', {}]]) {
        assert.deepEqual(await errorOf(hub, method, { channel, ...more }), { code: 102, message: `unknown channel: the namespace of "${channel}" is not configured` });
      }
    }
    await assertError(hub, 'publish', `{"channel":"n\\u006fwhere:1","data":1}`, 102, /namespace of "nowhere:1"/);
    const client = await session(t, hub, '1');
    assert.deepEqual(await client.error('subscribe', { channel: 'nowhere:1' }), { code: 102, message: 'unknown channel' }, 'a client learns nothing of it');
  });

  test('null is taken for what is absent, as many libraries send it', async t => {
    const hub = await startApiHub(t);
    const nulls = (...names) => Object.fromEntries(names.map(name => [name, null]));
    const publication = nulls('b64data', 'tags', 'skip_history', 'idempotency_key', 'delta', 'version', 'version_epoch', 'unknown');
    const who = { user: 'u', ...nulls('client', 'session') };
    for (const [method, params] of [
      ['publish', { channel: 'log:1', data: 1, ...publication }], ['publish', { channel: 'log:1', ...publication, data: null, b64data: 'MQ==' }],
      ['broadcast', { channels: ['log:1'], data: 1, ...publication }], ['history', { channel: 'log:1', ...nulls('limit', 'since', 'reverse') }],
      ['history', { channel: 'log:1', since: nulls('offset', 'epoch') }], ['channels', nulls('pattern', 'limit', 'cursor')],
      ['subscribe', { ...who, channel: 'log:1', ...nulls('info', 'b64info', 'data', 'b64data', 'recover_since', 'expire_at', 'override') }],
      ['subscribe', { ...who, channel: 'log:1', recover_since: nulls('offset', 'epoch'), override: nulls('presence', 'force_recovery') }],
      ['unsubscribe', { ...who, channel: null }], ['disconnect', { ...who, ...nulls('whitelist', 'disconnect') }],
      ['refresh', { ...who, ...nulls('expired', 'expire_at', 'info') }],
    ]) assert.ok(await hub.call(method, params), method);
    const { publications } = await hub.call('history', { channel: 'log:1', limit: -1 });
    assert.deepEqual(publications.map(({ data }) => data), [1, 1, 1]);
  });

  const wrong = [
    ['publish', { data: 1 }, /^bad request/],
    ['publish', { channel: '', data: 1 }, /^bad request/],
    ['publish', { channel: 'log:1' }, /^bad request: data: expected/],
    ['publish', { channel: 1, data: 1 }, /channel: expected a string/],
    ['publish', { channel: null, data: 1 }, /channel: expected the name of a channel/],
    ['publish', { channel: ['log:1'], data: 1 }, /channel: expected a string/],
    ['publish', { channel: `log:${'x'.repeat(252)}`, data: 1 }, /^bad request/],
    ['publish', { channel: 'log:ä', data: 1 }, /^bad request/],
    ['publish', { channel: 'log:\n', data: 1 }, /^bad request/],
    ['publish', { channel: 'log:1', data: 1, tags: ['a'] }, /tags: expected an object/],
    ['publish', { channel: 'log:1', data: 1, tags: { a: 1 } }, /tags: expected an object of strings/],
    ['publish', { channel: 'log:1', data: 1, skip_history: 'yes' }, /skip_history: expected true or false/],
    ['publish', { channel: 'log:1', data: 1, delta: 'fossil' }, /delta: expected true or false/],
    ['publish', { channel: 'log:1', data: 1, idempotency_key: 1 }, /idempotency_key: expected a string/],
    ['publish', { channel: 'log:1', data: 1, idempotency_key: 'k'.repeat(256) }, /idempotency_key: expected at most 255 bytes/],
    ['publish', { channel: 'log:1', data: 1, idempotency_key: 'ü'.repeat(128) }, /idempotency_key: expected at most 255 bytes/],
    ['publish', { channel: 'log:1', data: 1, version: -1 }, /version: expected a whole number/],
    ['publish', { channel: 'log:1', data: 1, version: 1.5 }, /version: expected a whole number/],
    ['publish', { channel: 'log:1', data: 1, version: '1' }, /version: expected a whole number/],
    ['publish', '{"channel":"log:1","data":1,"version":9223372036854775808}', /version: expected a whole number from 0 to 9223372036854775807/],
    ['publish', { channel: 'log:1', data: 1, version: -1 }, /version: expected a whole number from 0 to 9223372036854775807/],
    ['history', { channel: 'log:1', since: { offset: -1 } }, /since\.offset: expected a whole number, not negative/],
    ['publish', { channel: 'log:1', data: 1, version: 1, version_epoch: 1 }, /version_epoch: expected a string/],
    ['publish', { channel: 'log:1', data: 1, version: 1, version_epoch: 'e'.repeat(256) }, /version_epoch: expected at most 255 bytes/],
    ['publish', { channel: 'log:1', data: 1, b64data: 'MQ==' }, /b64data: expected nothing/],
    ['publish', { channel: 'log:1', b64data: 1 }, /b64data: expected a string/],
    ['publish', { channel: 'log:1', b64data: '' }, /data: expected any JSON value, here or in b64data/],
    ['publish', { channel: 'log:1', b64data: 'MQ' }, /b64data: expected base64/],
    ['publish', { channel: 'log:1', b64data: 'M Q==' }, /b64data: expected base64/],
    ['publish', { channel: 'log:1', b64data: 'YWJj' }, /b64data: expected the base64 of JSON/],
    ['publish', { channel: 'log:1', b64data: '/w==' }, /b64data: expected the base64 of JSON/],
    ['broadcast', { channels: ['log:1'], data: 1, idempotency_key: 'k'.repeat(256) }, /idempotency_key: expected at most 255 bytes/],
    ['broadcast', { channels: ['log:1'], data: 1, b64data: 'MQ==' }, /b64data: expected nothing/],
    ['publish', { channel: 'log:ä', data: 1 }, /channel: expected printable ASCII/],
    ['history', { channel: 'log:1', limit: -2 }, /limit: expected -1 or more/],
    ['history', { channel: 'log:1', reverse: true, since: { epoch: 'e' } }, /since\.offset: expected 1 or more/],
    ['history_remove', {}, /^bad request: channel: expected/],
    ['history', {}, /^bad request/],
    ['history', { channel: 'log:1', limit: '10' }, /limit: expected a whole number/],
    ['history', { channel: 'log:1', limit: 1.5 }, /limit: expected a whole number/],
    ['history', { channel: 'log:1', reverse: 1 }, /reverse: expected true or false/],
    ['history', { channel: 'log:1', since: 5 }, /since: expected an object/],
    ['history', { channel: 'log:1', since: { offset: -1 } }, /offset: expected a whole number/],
    ['history', { channel: 'log:1', since: { offset: 1, epoch: 1 } }, /since\.epoch: expected a string/],
    ['channels', { pattern: 1 }, /pattern: expected a string/],
    ['feed_refresh', { feed: 1 }, /feed: expected a string/],
    ['feed_refresh', { feed: 'city', params: 'x' }, /params: expected an object/],
  ];
  test('107 names the member', async t => {
    const hub = await startApiHub(t);
    for (const [method, body, message] of wrong) await assertError(hub, method, body, 107, message);
    assert.equal((await hub.call('history', { channel: 'log:1' })).offset, 0, 'nothing was published');
  });

  const malformed = [
    ['', 0],
    ['{', 1],
    ['{"channel":"log:1","data":}', 26],
    ['{"channel":"log:1","data":1}x', 28],
    ['{"channel":"log:1","data":01}', 27],
    ["{'channel':1}", 1],
    ['{"channel":"log:\n"}', 16],
    [Buffer.from('{"a":"\xff"}', 'latin1'), 6],
    ['{"a":"\\ud800"}', 6],
    ['['.repeat(1000), 128],
    ['\ufeff{}', 0],
  ];
  test('400 names the byte where JSON ends to be JSON', async t => {
    const hub = await startApiHub(t);
    for (const [body, byte] of malformed) {
      const { status, text, headers } = await hub.api('publish', body);
      assert.equal(status, 400, `${body}`);
      assert.match(text, new RegExp(`^malformed JSON at byte ${byte}: expected .+\n$`), `${body}`);
      assert.match(headers['content-type'], /^text\/plain/);
    }
  });

  test('400 for JSON that is no object', async t => {
    const hub = await startApiHub(t);
    for (const body of ['[]', '"x"', '1', 'null']) {
      const { status, text } = await hub.api('publish', body);
      assert.deepEqual({ status, text }, { status: 400, text: 'expected a JSON object\n' });
    }
  });
});

describe('who may call', { concurrency: true }, () => {
  test('401 with an empty body unless the key is right', async t => {
    const hub = await startApiHub(t);
    for (const key of ['wrong', '', null, `${API_KEY}x`, API_KEY.slice(0, -1), API_KEY.toUpperCase()]) {
      const { status, text } = await hub.api('info', {}, { key });
      assert.deepEqual({ status, text }, { status: 401, text: '' }, `key ${key}`);
    }
    const { status } = await hub.api('nothing', 'no json', { key: 'wrong' });
    assert.equal(status, 401, 'who has no key learns nothing');
    await hub.call('info');
  });

  test('the key may also come as Authorization: apikey', async t => {
    const hub = await startApiHub(t);
    const statusWith = async authorization => (await hub.api('info', {}, { key: null, headers: { authorization } })).status;
    assert.equal(await statusWith(`apikey ${API_KEY}`), 200);
    assert.equal(await statusWith(`ApiKey ${API_KEY}`), 200);
    for (const wrong of ['apikey', 'apikey ', 'apikey wrong', API_KEY, `Bearer ${API_KEY}`]) assert.equal(await statusWith(wrong), 401, wrong);
  });

  test('nobody, when no key is configured', async t => {
    const hub = await startApiHub(t, { http_api: { key: '' } });
    for (const key of ['', null, 'x']) assert.equal((await hub.api('info', {}, { key })).status, 401);
    assert.equal((await hub.api('info', {}, { key: null, headers: { authorization: 'apikey ' } })).status, 401);
  });

  test('everybody, when http_api.insecure says so, and the log warns', async t => {
    const hub = await startApiHub(t, { http_api: { key: '', insecure: true } });
    assert.equal((await hub.api('info', {}, { key: null })).status, 200);
    await hub.waitForLine(line => / warn main http_api_insecure /.test(line));
  });
});

describe('methods and paths', { concurrency: true }, () => {
  test('405 names the method that would do', async t => {
    const hub = await startApiHub(t);
    for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      const { status, headers } = await hub.request(method, '/api/info', { headers: KEY, body: method === 'GET' ? undefined : '{}' });
      assert.deepEqual([status, headers.allow], [405, 'POST'], method);
    }
    const { status, headers } = await hub.request('POST', '/health', { body: '' });
    assert.deepEqual([status, headers.allow], [405, 'GET, HEAD']);
  });

  test('404 for what is not there', async t => {
    const hub = await startApiHub(t);
    for (const method of ['nothing', '', 'Info', 'info/', 'info/x', '..%2fapix']) assert.equal((await hub.api(method)).status, 404, method);
    for (const path of ['/', '/nothing', '/demo/refresh', '/index.html', '/healthy']) {
      assert.equal((await hub.request('GET', path)).status, 404, path);
    }
  });

  test('/health answers GET and HEAD where it is enabled', async t => {
    const hub = await startApiHub(t);
    const { status, headers, text } = await hub.request('GET', '/health');
    assert.deepEqual([status, headers['content-type'], text], [200, 'application/json', '{}']);
    const tcp = await openTcp(hub);
    await tcp.write(head('HEAD', '/health'));
    const reply = await tcp.response({ hasBody: false });
    assert.deepEqual([reply.status, reply.headers['content-length']], [200, '2']);
    await tcp.write(head('GET', '/health'));
    assert.equal((await tcp.response()).text, '{}', 'no body came behind the head');
  });

  test('/health is not there unless it is enabled', async t => {
    const hub = await startApiHub(t, { health: { enabled: false } });
    assert.equal((await hub.request('GET', '/health')).status, 404);
  });
});

describe('the length of a body', { concurrency: true }, () => {
  const post = headers => head('POST', '/api/info', { ...KEY, ...headers });

  test('411 without one, and with Transfer-Encoding; the connection ends', async t => {
    const hub = await startApiHub(t);
    const requests = [
      post({}),
      `${post({ 'Transfer-Encoding': 'chunked' })}2\r\n{}\r\n0\r\n\r\n`,
      `${post({ 'Transfer-Encoding': 'chunked', 'Content-Length': 2 })}{}${head('GET', '/health')}`,
      `${post({ 'Transfer-Encoding': 'identity', 'Content-Length': 2 })}{}`,
      `${head('GET', '/health', { 'Transfer-Encoding': 'chunked' })}0\r\n\r\n`,
    ];
    for (const request of requests) {
      const tcp = await openTcp(hub);
      await tcp.write(request);
      const { status, headers } = await tcp.response();
      assert.deepEqual([status, headers.connection], [411, 'close'], request);
      assert.equal(await tcp.responseOrEnd(), null, 'nothing behind it is taken for a request');
    }
    await assertServes(hub);
  });

  test('400, or the end of the connection, for one that is no number', async t => {
    const hub = await startApiHub(t);
    for (const length of ['5,50', '-5', 'abc', '', '0x10', '5 5', '+5', '2.0', '99999999999999999999999', ['2', '3'], ['2', '2']]) {
      const tcp = await openTcp(hub);
      await tcp.write(`${post({ 'Content-Length': length })}{}${head('GET', '/health')}`);
      const reply = await tcp.responseOrEnd();
      const allowed = length === '' ? [400, 411] : [400];
      if (reply) assert.ok(allowed.includes(reply.status), `Content-Length ${length}: ${reply.status} ${reply.text}`);
      assert.equal(await tcp.responseOrEnd(), null, 'nothing behind it is taken for a request');
    }
    await assertServes(hub);
  });

  test('a Content-Length of 0 is a body too', async t => {
    const hub = await startApiHub(t);
    const tcp = await openTcp(hub);
    for (const [method, status] of [['POST', 400], ['PUT', 405], ['PATCH', 405], ['DELETE', 405]]) {
      await tcp.write(head(method, '/api/info', { ...KEY, 'Content-Length': 0 }));
      assert.equal((await tcp.response()).status, status, method);
    }
  });

  test('413 for a body that is too large; the last that is not passes', async t => {
    const hub = await startApiHub(t, { http_server: { max_request_body_size: 2000 } });
    const body = size => JSON.stringify({ pattern: '' }).padEnd(size, ' ');
    assert.equal((await hub.api('channels', body(2000))).status, 200);
    assert.equal((await hub.api('channels', body(2001))).status, 413);
  });

  test('413 arrives before the body is sent, also when 200 MB are announced', async t => {
    const hub = await startApiHub(t);
    const tcp = await openTcp(hub);
    await tcp.write(post({ 'Content-Length': 200_000_000 }));
    assert.equal((await tcp.response()).status, 413);
    await tcp.closed;
  });

  test('413 arrives also at a client that sends on', async t => {
    const hub = await startApiHub(t);
    const tcp = await openTcp(hub);
    await tcp.write(post({ 'Content-Length': 200_000_000 }));
    const piece = Buffer.alloc(65536, ' ');
    for (let i = 0; i < 100; i++) {
      await tcp.write(piece);
      await setImmediate(); // a turn in which it may read
    }
    assert.equal((await tcp.response()).status, 413);
    await assertServes(hub);
  });

  test('a body without end is cut at the limit', async t => {
    const hub = await startApiHub(t, { http_server: { max_request_body_size: 100_000 } });
    const tcp = await openTcp(hub);
    await tcp.write(post({ 'Content-Length': 2 }));
    await tcp.write('{}');
    assert.equal((await tcp.response()).status, 200);
    const noise = Buffer.alloc(65536, 'x');
    while (tcp.isOpen) await tcp.write(noise);
    await assertServes(hub);
  });
});

describe('connections', { concurrency: true }, () => {
  const postInfo = (body, headers = {}) => head('POST', '/api/info', { ...KEY, 'Content-Length': Buffer.byteLength(body), ...headers }) + body;

  test('50 pipelined GETs are all answered', async t => {
    const hub = await startApiHub(t);
    const tcp = await openTcp(hub);
    await tcp.write(head('GET', '/health').repeat(50));
    for (let i = 0; i < 50; i++) assert.equal((await tcp.response()).text, '{}');
    await tcp.write(head('GET', '/health'));
    assert.equal((await tcp.response()).status, 200, 'and the connection goes on');
  });

  test('Connection: close and HTTP/1.0 end the connection after the answer', async t => {
    const hub = await startApiHub(t);
    for (const request of [head('GET', '/health', { Connection: 'close' }), 'GET /health HTTP/1.0\r\n\r\n', postInfo('{}', { Connection: 'close' })]) {
      const tcp = await openTcp(hub);
      await tcp.write(request);
      assert.equal((await tcp.response()).status, 200, request);
      await tcp.closed;
    }
  });

  test('what is no request ends the connection: CONNECT, garbage, an endless head', async t => {
    const hub = await startApiHub(t);
    for (const request of ['CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n', '\x16\x03\x01\x02\x00\x01\x00', 'nonsense\r\n\r\n', head('GET', '/health', { 'X-Long': 'x'.repeat(20_000) })]) {
      const tcp = await openTcp(hub);
      await tcp.write(request);
      const reply = await tcp.responseOrEnd();
      if (reply) assert.ok(reply.status >= 400, `${reply.status}`);
      await tcp.closed;
    }
    await assertServes(hub);
  });

  test('POSTs one after the other use one connection', async t => {
    const hub = await startApiHub(t);
    const tcp = await openTcp(hub);
    for (let i = 0; i < 20; i++) {
      await tcp.write(postInfo('{}'));
      assert.equal((await tcp.response()).status, 200);
    }
  });

  for (const [what, second] of [['a POST', postInfo('{}')], ['a GET', head('GET', '/health')], ['half a head', 'GET /hea'], ['garbage', '\0\xff\r\n\r\n'], ['a line end', '\r\n']]) {
    test(`${what} in the same segment behind a POST may end the connection, but not the hub`, async t => {
      const hub = await startApiHub(t);
      const tcp = await openTcp(hub);
      await tcp.write(postInfo('{}') + second);
      const other = await openTcp(hub);
      await other.write(head('GET', '/health'));
      assert.equal((await other.response()).status, 200);
      tcp.destroy();
      await assertServes(hub);
    });
  }

  test('GETs in the same segment behind a POST that is answered at once are answered too', async t => {
    const hub = await startApiHub(t);
    const tcp = await openTcp(hub);
    await tcp.write(postInfo('{}') + head('GET', '/health').repeat(3));
    assert.equal((await tcp.response()).json.result.nodes.length, 1);
    for (let i = 0; i < 3; i++) assert.equal((await tcp.response()).text, '{}');
    await tcp.write(postInfo('{}'));
    assert.equal((await tcp.response()).status, 200, 'and the connection goes on');
  });

  for (const [what, length] of [['whole', 2], ['without all of its body', 500]]) {
    test(`a POST ${what} in the same segment behind a GET ends the connection, and its head is not taken for its body`, async t => {
      const hub = await startApiHub(t);
      const tcp = await openTcp(hub);
      await tcp.write(head('GET', '/health') + head('POST', '/api/info', { ...KEY, 'Content-Length': length }) + '{}');
      assert.equal((await tcp.response()).text, '{}');
      tcp.write(' '.repeat(length - 2));
      assert.equal(await tcp.responseOrEnd(), null);
    });
  }

  test('who ends the own side right behind a POST is answered', async t => {
    const hub = await startApiHub(t);
    const tcp = await openTcp(hub);
    tcp.write(postInfo('{}'));
    tcp.end();
    assert.equal((await tcp.response()).status, 200);
    await tcp.closed;
  });

  test('a reply larger than the socket takes waits for its reader, and the connection goes on', async t => {
    const hub = await startApiHub(t);
    const data = 'x'.repeat(900_000);
    for (let i = 0; i < 5; i++) await hub.call('publish', { channel: 'log:1', data });
    const tcp = await openTcp(hub);
    const body = JSON.stringify({ channel: 'log:1', limit: -1 });
    const request = head('POST', '/api/history', { ...KEY, 'Content-Length': body.length }) + body;
    for (let i = 0; i < 2; i++) {
      tcp.pause();
      await tcp.write(request);
      await assertServes(hub);
      tcp.resume();
      assert.deepEqual((await tcp.response()).json.result.publications.map(one => one.data.length), Array(5).fill(data.length));
    }
  });

  test('libwebsockets changes event masks through poll_mask.c', async t => {
    const hub = await startHub(t, { config, env: { LD_DEBUG: 'bindings' } });
    await assertServes(hub);
    await hub.waitForLine(text => /libwebsockets-evlib_uv\.so.* to \S*\/belfry .*`uv_poll_start'/.test(text));
  });

  test('a request pipelined behind one that is under way does no harm', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, gate);
    const tcp = await openTcp(hub);
    await tcp.write(postRefresh);
    const held = await gate.next();
    await tcp.write(postInfo('{}') + head('GET', '/health'));
    await assertServes(hub);
    held.answer({ n: 1 });
    const reply = await tcp.responseOrEnd();
    if (reply) assert.equal(reply.json.result.completed, true);
    await feedBecomes(hub, { n: 1 });
  });

  test('a body that comes byte by byte is complete', async t => {
    const hub = await startApiHub(t);
    const tcp = await openTcp(hub);
    const body = `{"channel":"log:1","data":${EXACT}}`;
    for (const byte of Buffer.from(head('POST', '/api/publish', { ...KEY, 'Content-Length': Buffer.byteLength(body) }) + body)) {
      await tcp.write(Buffer.of(byte));
    }
    assert.equal((await tcp.response()).json.result.offset, 1);
    const { text } = await hub.api('history', { channel: 'log:1', limit: 1 });
    assert.ok(text.includes(EXACT), text);
  });

  test('a large body that comes in pieces is complete', async t => {
    const hub = await startApiHub(t);
    const data = Array.from({ length: 60_000 }, (_, i) => i);
    await hub.call('publish', { channel: 'log:1', data });
    const { publications } = await hub.call('history', { channel: 'log:1', limit: 1 });
    assert.deepEqual(publications[0].data, data);
  });

  test('a body that does not come within http_server.body_timeout ends the connection', async t => {
    const hub = await startApiHub(t, { http_server: { body_timeout: '300ms' } });
    const silent = await openTcp(hub);
    await silent.write(head('POST', '/api/info', { ...KEY, 'Content-Length': 10 }));
    const dripping = await openTcp(hub);
    await dripping.write(head('POST', '/api/info', { ...KEY, 'Content-Length': 1_000_000 }));
    const drip = setInterval(() => dripping.write(' '), 20); // what restarts a timeout per piece
    t.after(() => clearInterval(drip));
    await Promise.all([silent.closed, dripping.closed]);
    await assertServes(hub);
  });

  test('requests that break off leave nothing behind', async t => {
    const hub = await startApiHub(t);
    const whole = postInfo('{"a":1}');
    for (const length of [1, 4, 10, whole.indexOf('\r\n\r\n') + 2, whole.length - 7, whole.length - 1, whole.length]) {
      const tcp = await openTcp(hub);
      await tcp.write(whole.slice(0, length));
      tcp.destroy();
    }
    await assertServes(hub);
  });

  test('a refresh goes on and is pushed when the one who asked for it has gone', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, gate);
    const subscriber = await session(t, hub, '1');
    await subscriber.ok('subscribe', { channel: 'log:feed' });
    const tcp = await openTcp(hub);
    await tcp.write(postRefresh);
    const held = await gate.next();
    tcp.destroy();
    await assertServes(hub);
    held.answer({ n: 1 });
    assert.deepEqual((await subscriber.nextPush()).pub, { data: { one: { n: 1 } }, offset: 1 });
    await feedBecomes(hub, { n: 1 });
  });

  test('SIGTERM answers those who wait with 503, and nobody new gets in', async t => {
    const gate = await startGate(t);
    const hub = await startFeedHub(t, gate);
    const [waiting, idle] = [await openTcp(hub), await openTcp(hub)];
    await idle.write(head('GET', '/health'));
    await idle.response();
    await waiting.write(postRefresh);
    const held = await gate.next();
    hub.signal('SIGTERM');
    const { status, headers, text } = await waiting.response();
    assert.deepEqual([status, headers['retry-after'], text], [503, '1', 'shutting down\n']);
    await held.gone;
    await idle.write(postInfo('{}'));
    const late = await idle.responseOrEnd();
    if (late) assert.ok([200, 503].includes(late.status), `${late.status} ${late.text}`);
    assert.deepEqual(await hub.exited, { code: 0, signal: null });
    await assert.rejects(hub.call('info'), { code: 'ECONNREFUSED' });
  });

  const postRefresh = head('POST', '/api/feed_refresh', { ...KEY, 'Content-Length': 15 }) + '{"feed":"slow"}';

  function startFeedHub(t, gate) {
    return startApiHub(t, { feeds: [{ name: 'slow', channel: 'log:feed', timeout: '60s', upstreams: [{ name: 'one', url: `${gate.url}/` }] }] });
  }

  /** The answer of a refresh nobody waits for: asked for until it is stored. */
  async function feedBecomes(hub, value) {
    const ask = async () => {
      for (;;) {
        const { json } = await hub.api('feed_get', { feed: 'slow' });
        if (json.result) return json.result.data;
        assert.equal(json.error.code, 108);
      }
    };
    assert.deepEqual(await within(ask(), 'a snapshot'), { one: value });
  }
});
