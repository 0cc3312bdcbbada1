// Several calls in one request: POST /api/batch and the stream of calls of POST /api.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { feedOf, startFeedHub } from './lib/feed.mjs';
import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { head, openTcp } from './lib/raw.mjs';
import { openSession } from './lib/session.mjs';

const NAMESPACES = [{ name: 'log', history_size: 10, history_ttl: '1h', presence: true }, { name: 'plain', allow_subscribe_for_client: true }];
const open = { client: { insecure: true }, channel: { namespaces: NAMESPACES } };
const startBatchHub = (t, http_api = {}) => startHub(t, { config: { ...open, http_api } });

/** A hub whose feed is refreshed only when the test says so. */
async function startGated(t) {
  const gate = await startGate(t);
  const config = { client: { insecure: true }, channel: { namespaces: [...NAMESPACES, { name: 'live' }] } };
  const hub = await startFeedHub(t, feedOf({ one: gate.url }), { config });
  const session = await openSession(t, hub);
  await session.ok('subscribe', { channel: 'plain:a' });
  return { gate, hub, session };
}

const publish = (channel, data) => ({ publish: { channel, data } });
const REFRESH = { feed_refresh: { feed: 'feed' } };

async function batch(hub, commands, more = {}, how = {}) {
  const { status, headers, json, text } = await hub.api('batch', { commands, ...more }, how);
  assert.equal(status, 200, text);
  assert.equal(headers['content-type'], 'application/json');
  assert.deepEqual(Object.keys(json), ['replies'], text);
  assert.equal(json.replies.length, commands.length, text);
  return json.replies;
}

const codesOf = replies => replies.map(reply => reply.error?.code ?? 0);

describe('a batch', { concurrency: true }, () => {
  test('is answered in the order of its commands, each under the name of its method', async t => {
    const hub = await startBatchHub(t);
    const replies = await batch(hub, [
      publish('log:a', { n: 1 }), publish('log:a', 2), { broadcast: { channels: ['log:a', 'plain:a'], data: 3 } },
      { history: { channel: 'log:a', limit: -1 } }, { presence: { channel: 'log:a' } }, { presence_stats: { channel: 'log:a' } },
      { channels: {} }, { info: {} }, { subscribe: { user: 'u', channel: 'log:a' } }, { unsubscribe: { user: 'u' } },
      { disconnect: { user: 'u' } }, { refresh: { user: 'u' } }, { history_remove: { channel: 'log:a' } }, { feeds: {} },
    ]);
    const { epoch } = replies[0].publish;
    assert.deepEqual(replies.map(reply => Object.keys(reply)), [
      ['publish'], ['publish'], ['broadcast'], ['history'], ['presence'], ['presence_stats'], ['channels'], ['info'], ['subscribe'],
      ['unsubscribe'], ['disconnect'], ['refresh'], ['history_remove'], ['feeds'],
    ]);
    assert.deepEqual(replies[1], { publish: { offset: 2, epoch } });
    assert.deepEqual(replies[2], { broadcast: { responses: [{ result: { offset: 3, epoch } }, { result: {} }] } });
    assert.deepEqual(replies[3].history.publications.map(one => one.data), [{ n: 1 }, 2, 3]);
    assert.equal(replies[7].info.nodes.length, 1);
    assert.deepEqual(replies[12], { history_remove: {} });
  });

  test('has errors of single commands beside the results of others', async t => {
    const hub = await startBatchHub(t);
    const replies = await batch(hub, [
      publish('nope:a', 1), { publish: { channel: 'log:a' } }, { publish: 17 }, {}, { pubish: {} }, { publish: null }, null, 'publish',
      { publish: { channel: 'log:a', data: 1 }, info: {} }, { batch: { commands: [] } }, { rpc: { method: 'x' } }, { rpc: {} },
      { url_proxy: {} }, { presence: { channel: 'plain:a' } }, publish('log:a', 'still done'), { info: {}, comment: 'ignored' },
    ], {}, { odd: 'a member that is no method' });
    assert.deepEqual(codesOf(replies), [102, 107, 107, 104, 104, 104, 107, 107, 107, 107, 104, 107, 104, 108, 0, 0]);
    assert.match(replies[0].error.message, /^unknown channel: the namespace of "nope:a" is not configured$/);
    for (const i of [3, 4, 5]) assert.match(replies[i].error.message, /^not found: expected the name of a method$/);
    assert.match(replies[9].error.message, /a batch inside a batch/);
    assert.equal(replies[14].publish.offset, 1);
  });

  test('may be empty; what it cannot be is refused', async t => {
    const hub = await startBatchHub(t);
    assert.deepEqual(await batch(hub, []), []);
    for (const body of [{}, { commands: {} }, { commands: null }, { commands: 1 }, { commands: [], parallel: 'yes' }]) {
      const { status, json } = await hub.api('batch', body);
      assert.equal(status, 200);
      assert.equal(json.error.code, 107, JSON.stringify(body));
    }
    assert.equal((await hub.api('batch', '{"commands":[{"publish":{"channel":"log:a","data":1}},]}')).status, 400);
    assert.equal((await hub.call('history', { channel: 'log:a' })).offset, 0);
  });

  test('begins a command when the one before has been answered', async t => {
    const { gate, hub, session } = await startGated(t);
    const answered = batch(hub, [publish('plain:a', 'before'), REFRESH, publish('plain:a', 'after')]);
    const held = await gate.next();
    assert.equal((await session.nextPush()).pub.data, 'before');
    await hub.call('publish', { channel: 'plain:a', data: 'meanwhile' });
    assert.equal((await session.nextPush()).pub.data, 'meanwhile');
    held.answer({ a: 1 });
    assert.equal((await session.nextPush()).pub.data, 'after');
    const replies = await answered;
    assert.deepEqual(replies[1].feed_refresh.data, { one: { a: 1 } });
    assert.deepEqual(replies[2], { publish: {} });
  });

  test('in parallel begins all at once, and is answered in order all the same', async t => {
    const { gate, hub, session } = await startGated(t);
    const answered = batch(hub, [REFRESH, publish('plain:a', 'after'), REFRESH], { parallel: true });
    assert.equal((await session.nextPush()).pub.data, 'after');
    (await gate.next()).answer({ a: 1 });
    const replies = await answered;
    assert.deepEqual(replies.map(reply => Object.keys(reply)[0]), ['feed_refresh', 'publish', 'feed_refresh']);
    assert.deepEqual(replies[0], replies[2]); // they shared the run
    assert.equal(gate.n, 1);
  });

  test('in parallel has a limited number of commands under way', async t => {
    const { gate, hub, session } = await startGated(t);
    const answered = batch(hub, [...Array(64).fill(REFRESH), publish('plain:a', 'the 65th')], { parallel: true });
    const held = await gate.next();
    await hub.call('publish', { channel: 'plain:a', data: 'meanwhile' });
    assert.equal((await session.nextPush()).pub.data, 'meanwhile');
    held.answer({ a: 1 });
    assert.equal((await session.nextPush()).pub.data, 'the 65th');
    assert.deepEqual(codesOf(await answered), Array(65).fill(0));
  });

  test('of thousands of commands is done, one after another and in parallel', async t => {
    const hub = await startBatchHub(t, { batch_max_commands: 5000 });
    for (const parallel of [false, true]) {
      const commands = Array.from({ length: 5000 }, (_, i) => (i % 5 ? { presence_stats: { channel: `log:${i}` } } : publish(`plain:${i}`, i)));
      const replies = await batch(hub, commands, { parallel });
      assert.deepEqual(replies[5], { publish: {} });
      assert.deepEqual(replies[4999], { presence_stats: { num_clients: 0, num_users: 0 } });
      assert.ok(codesOf(replies).every(code => code === 0));
    }
  });

  test('has limits: how many commands, and how much they are answered', async t => {
    const hub = await startBatchHub(t, { batch_max_commands: 5, batch_max_answer_size: 1024 });
    const { json } = await hub.api('batch', { commands: Array(6).fill(publish('log:a', 1)) });
    assert.equal(json.error.code, 107);
    assert.match(json.error.message, /a list of at most 5 \(http_api\.batch_max_commands\)/);
    assert.equal((await hub.call('history', { channel: 'log:a' })).offset, 0);
    const replies = await batch(hub, [publish('log:a', 'x'.repeat(1100)), { history: { channel: 'log:a', limit: 1 } }, publish('log:a', 2)]);
    assert.deepEqual(codesOf(replies), [0, 106, 0]);
    assert.match(replies[1].error.message, /http_api\.batch_max_answer_size/);
    assert.equal(replies[2].publish.offset, 2);
  });

  test('goes on when its caller has gone', async t => {
    const { gate, hub, session } = await startGated(t);
    const body = JSON.stringify({ commands: [REFRESH, publish('plain:a', 'after')] });
    const tcp = await openTcp(hub);
    tcp.write(head('POST', '/api/batch', { 'X-API-Key': hub.key, 'Content-Length': body.length }) + body);
    const held = await gate.next();
    tcp.destroy();
    held.answer({});
    assert.equal((await session.nextPush()).pub.data, 'after');
  });

  test('under way when the hub ends is answered: what was not begun says so', async t => {
    const { gate, hub } = await startGated(t);
    const answered = hub.api('batch', { commands: [publish('plain:a', 1), REFRESH, publish('plain:a', 2)] });
    await gate.next();
    await hub.stop();
    const { status, json } = await answered;
    assert.equal(status, 200);
    assert.deepEqual(codesOf(json.replies), [0, 100, 100]);
    assert.match(json.replies[2].error.message, /shutting down/);
  });

  test('does not outlive a hub that ends, however long it is and however short the time', async t => {
    const hub = await startHub(t, { config: { ...open, http_api: { batch_max_commands: 80000 }, shutdown: { timeout: '100ms' } } });
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'plain:a' });
    session.ws._socket.pause(); // it does not answer the Close: the time runs out
    session.ws._socket.removeAllListeners('data');
    const commands = JSON.stringify([publish('plain:a', 1), ...Array(79000).fill({ info: {} })]);
    const body = `{"commands":${commands}}`;
    const tcp = await openTcp(hub);
    await tcp.write(head('POST', '/api/batch', { 'X-API-Key': hub.key, 'Content-Length': body.length }) + body);
    hub.signal('SIGTERM');
    assert.deepEqual(await hub.exited, { code: 0, signal: null });
    await tcp.closed;
  });

  test('whose key another configuration takes away ends without the rights of the key in its place', async t => {
    const gate = await startGate(t);
    const few = { name: 'few', key: 'the-key-of-a-few-methods', methods: ['feed_refresh'] };
    const hub = await startFeedHub(t, feedOf({ one: gate.url }), {
      config: { http_api: { keys: [few] }, http_server: { access_log: { enabled: true } }, channel: { namespaces: [{ name: 'live' }] } },
    });
    const answered = hub.api('batch', { commands: [REFRESH, { info: {} }, REFRESH] }, { key: few.key });
    const held = await gate.next();
    await hub.reload({ http_api: { keys: [{ name: 'all', key: 'the-key-of-all-the-methods' }] } });
    held.answer({});
    const { json, text } = await answered;
    assert.deepEqual(codesOf(json.replies), [0, 103, 103], text);
    assert.match(json.replies[1].error.message, /the key is not configured any more/);
    assert.ok(!text.includes('\\"all\\"'), text);
    await hub.waitForLine(line => line.includes(' access request ') && line.includes('path=/api/batch') && line.endsWith(' key=few'));
  });
});

const lines = (hub, body) => hub.request('POST', '/api', { body, headers: { 'x-api-key': hub.key } });

describe('a stream of calls', { concurrency: true }, () => {
  test('is answered with a line each, in order, whatever stands between them', async t => {
    const hub = await startBatchHub(t);
    const { status, headers, text } = await lines(hub, [
      '{"id":1,"method":"publish","params":{"channel":"log:}{","data":"\\"}"}}{"method":"history","params":{"channel":"log:}{","limit":1}}',
      '\t {"id":3,\r\n"method":"PRESENCE_STATS","params":{"channel":"log:a"}}', '', '{"id":4,"method":"info"}',
      '{"id":0,"method":"unsubscribe","params":{"user":"u"}} {"id":6,"method":"feeds","params":null}', '',
    ].join('\n'));
    assert.equal(status, 200, text);
    assert.equal(headers['content-type'], 'application/json');
    const answers = text.split('\n').map(line => JSON.parse(line));
    assert.deepEqual(answers.map(answer => answer.id), [1, undefined, 3, 4, undefined, 6]);
    assert.equal(answers[0].result.offset, 1);
    assert.deepEqual(answers[1].result.publications.map(one => one.data), ['"}']);
    assert.deepEqual(answers[2], { id: 3, result: { num_clients: 0, num_users: 0 } });
    assert.equal(answers[3].result.nodes.length, 1);
    assert.deepEqual(answers[4], { result: {} });
    assert.deepEqual(answers[5], { id: 6, result: { feeds: [] } });
  });

  test('begins a call when the one before has been answered', async t => {
    const { gate, hub, session } = await startGated(t);
    const line = (method, params) => JSON.stringify({ method, params });
    const answered = lines(hub, `${line('feed_refresh', { feed: 'feed' })}\n${line('publish', { channel: 'plain:a', data: 'after' })}`);
    const held = await gate.next();
    await hub.call('publish', { channel: 'plain:a', data: 'meanwhile' });
    assert.equal((await session.nextPush()).pub.data, 'meanwhile');
    held.answer({ a: 1 });
    assert.equal((await session.nextPush()).pub.data, 'after');
    assert.equal((await answered).text.split('\n').length, 2);
  });

  test('has errors of single calls beside the results of others', async t => {
    const hub = await startBatchHub(t);
    const { status, text } = await lines(hub, [
      '{"id":1,"method":"pubish","params":{}}', '{"id":2}', '{"id":3,"method":"batch","params":{"commands":[]}}', '{"id":4,"method":17}',
      '{"id":"5","method":"info"}', '{"id":6,"method":"publish","params":[]}', '{"id":7,"method":"publish"}', '{"id":8,"method":"publish","params":{"channel":"log:a","data":1}}',
    ].join('\n'));
    assert.equal(status, 200);
    const answers = text.split('\n').map(line => JSON.parse(line));
    assert.deepEqual(codesOf(answers), [104, 107, 104, 104, 107, 107, 107, 0]);
    assert.deepEqual(answers.map(answer => answer.id), [1, 2, 3, 4, undefined, 6, 7, 8]);
    for (const i of [0, 2, 3]) assert.match(answers[i].error.message, /^not found: method: expected the name of a method, other than batch$/);
    assert.equal(answers[7].result.offset, 1);
  });

  test('that is malformed, empty or too long is refused whole', async t => {
    const hub = await startBatchHub(t, { batch_max_commands: 3 });
    const good = '{"method":"publish","params":{"channel":"log:a","data":1}}';
    for (const [body, message] of [
      [`${good}\n{"method":`, /malformed JSON at byte \d+/], [`${good}]`, /malformed JSON at byte 58/], [`${good} 12`, /malformed JSON at byte 59: expected an object/],
      [`${good}\n[${good}]`, /malformed JSON at byte 59/], ['', /expected 1 to 3 calls/], [' \n', /expected 1 to 3 calls/], ['"a"', /byte 0: expected an object/],
      [good.repeat(4), /expected 1 to 3 calls \(http_api\.batch_max_commands\)/], [`${good}\0`, /malformed JSON at byte 58/], ['{"a":"', /malformed JSON/],
    ]) {
      const { status, text } = await lines(hub, body);
      assert.equal(status, 400, `${body}: ${text}`);
      assert.match(text, message, body);
    }
    assert.equal((await hub.call('history', { channel: 'log:a' })).offset, 0);
  });

  test('is for who has the key, with POST', async t => {
    const hub = await startBatchHub(t);
    assert.equal((await hub.request('POST', '/api', { body: '{"method":"info"}' })).status, 401);
    assert.equal((await hub.request('GET', '/api', { headers: { 'x-api-key': hub.key } })).status, 405);
  });
});
