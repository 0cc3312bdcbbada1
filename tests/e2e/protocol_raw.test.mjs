// Commands that no SDK writes so. Frames: websocket_raw.test.mjs; wrong orders and wrong types: client_connect.test.mjs.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { startHub } from './lib/hub.mjs';
import { assertServes, openSession, textOf } from './lib/session.mjs';
import { makeToken, SECRET, secondsFromNow } from './lib/token.mjs';

const BAD_REQUEST = { code: 3501, reason: 'bad request' };
const NOT_AVAILABLE = { code: 3508, reason: 'not available' };
const history = { history_size: 100, history_ttl: '1h', allow_recovery: true, allow_positioning: true };
const start = t => startHub(t, {
  config: {
    client: { insecure: true, token: { hmac_secret_key: SECRET } },
    channel: { without_namespace: { presence: true, allow_tags_filter: true, allowed_delta_types: ['fossil'], ...history } },
  },
});

/** Every character of the text as an escape, in quotes. */
const escaped = text => `"${[...text].map(c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`;

/** Sends the text and returns the reply with that id. */
function ask(session, id, text) {
  session.send(text);
  return session.replyTo(id);
}

/** One connection for each; then the hub must serve. */
async function each(t, hub, cases, check, connect = {}) {
  for (const [what, value] of Object.entries(cases)) {
    await t.test(what, async tt => check(await openSession(tt, hub, { connect }), value));
  }
  await assertServes(t, hub);
}

describe('members', { concurrency: true }, () => {
  test('that are null are as absent', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub, { connect: null });
    const connected = await ask(session, 1, '{"id":1,"connect":{"token":null,"data":null,"name":null,"version":null,"headers":null,"subs":null,"flag":null},"subscribe":null,"rpc":null}');
    assert.ok(connected.connect, textOf(connected));
    const all = ['token', 'recover', 'epoch', 'offset', 'data', 'positioned', 'recoverable', 'join_leave', 'delta', 'tf', 'flag', 'type', 'phase', 'cursor', 'limit', 'asc'].map(name => `"${name}":null`).join(',');
    const subscribed = await ask(session, 2, `{"id":2,"subscribe":{"channel":"a",${all}}}`);
    assert.deepEqual(subscribed.subscribe, {});
    await hub.call('publish', { channel: 'a', data: 1 });
    const read = await ask(session, 3, '{"id":3,"history":{"channel":"a","limit":null,"since":null,"reverse":null}}');
    assert.deepEqual([read.history.publications, read.history.offset], [[], 1]);
    const since = await ask(session, 4, '{"id":4,"history":{"channel":"a","limit":-1,"since":{"offset":null,"epoch":null}}}');
    assert.equal(since.history.publications.length, 1, textOf(since));
    const published = await ask(session, 5, '{"id":5,"publish":{"channel":"a","data":null,"type":null,"key":null,"removed":null}}');
    assert.ok(published.publish, 'null is JSON, too');
  });

  test('a command whose only method is null is none', async t => {
    const hub = await start(t);
    await each(t, hub, { one: '{"id":2,"rpc":null}', 'all of them': '{"id":2,"subscribe":null,"publish":null}', 'the id': '{"id":null,"rpc":{}}' }, async (session, text) => {
      session.send(text);
      assert.deepEqual(await session.closed, BAD_REQUEST);
    });
  });

  test('that come twice are refused, unless nobody reads them', async t => {
    const hub = await start(t);
    await each(t, hub, {
      'the id': '{"id":2,"id":2,"rpc":{}}',
      'the method': '{"id":2,"rpc":{},"rpc":{}}',
      'the method, once with an escape': '{"id":2,"rpc":{},"r\\u0070c":{}}',
      'the channel': '{"id":2,"subscribe":{"channel":"a","channel":"b"}}',
      'the data': '{"id":2,"publish":{"channel":"a","data":1,"data":2}}',
    }, async (session, text) => {
      session.send(text);
      assert.deepEqual(await session.closed, BAD_REQUEST);
    });
    const session = await openSession(t, hub);
    assert.ok((await ask(session, 2, '{"id":2,"x":1,"x":2,"subscribe":{"y":1,"y":2,"channel":"a"}}')).subscribe);
    assert.ok((await ask(session, 3, '{"id":3,"publish":{"channel":"a","data":{"z":1,"z":2}}}')).publish, 'data is not ours');
    assert.match(textOf(await session.nextPush()), /"data":\{"z":1,"z":2\}/);
  });

  test('may be escaped through and through, keys and texts', async t => {
    const hub = await start(t);
    const e = escaped;
    const session = await openSession(t, hub, { connect: null });
    const token = makeToken({ sub: '42', channels: ['s'] });
    const { connect } = await ask(session, 1, `{${e('id')}:1,${e('connect')}:{${e('token')}:${e(token)},${e('name')}:${e('js')},${e('version')}:${e('1')},${e('headers')}:{${e('a')}:${e('b')}},${e('subs')}:{${e('s')}:{${e('recover')}:true,${e('epoch')}:${e('abcdefgh')},${e('offset')}:3}}}}`);
    assert.equal(connect.subs.s.was_recovering, true);
    const { subscribe } = await ask(session, 2, `{${e('id')}:2,${e('subscribe')}:{${e('channel')}:${e('$a')},${e('token')}:${e(makeToken({ sub: '42', channel: '$a' }))},${e('delta')}:${e('fossil')},${e('positioned')}:true}}`);
    assert.equal(subscribe.delta, true);
    const { subscribe: filtered } = await ask(session, 3, `{${e('id')}:3,${e('subscribe')}:{${e('channel')}:${e('f')},${e('tf')}:{${e('key')}:${e('k')},${e('cmp')}:${e('eq')},${e('val')}:${e('v')}}}}`);
    assert.ok(filtered);
    const text = '{"\\u0061":"\\u00e9\\/"}';
    assert.ok((await ask(session, 4, `{${e('id')}:4,${e('publish')}:{${e('channel')}:${e('$a')},${e('data')}:${text}}}`)).publish);
    assert.equal((await session.nextPush()).pub.data, text, 'what is not ours stays as it is, also in a delta stream');
    const { history: { epoch } } = await ask(session, 5, `{${e('id')}:5,${e('history')}:{${e('channel')}:${e('$a')}}}`);
    const { history: since } = await ask(session, 6, `{${e('id')}:6,${e('history')}:{${e('channel')}:${e('$a')},${e('limit')}:10,${e('since')}:{${e('offset')}:0,${e('epoch')}:${e(epoch)}}}}`);
    assert.equal(since.publications.length, 1);
    const { presence } = await ask(session, 7, `{${e('id')}:7,${e('presence')}:{${e('channel')}:${e('$a')}}}`);
    assert.deepEqual(Object.keys(presence.presence), [connect.client]);
    assert.deepEqual((await ask(session, 8, `{${e('id')}:8,${e('presence_stats')}:{${e('channel')}:${e('$a')}}}`)).presence_stats, { num_clients: 1, num_users: 1 });
    const sub = makeToken({ sub: '42', channel: '$a', exp: secondsFromNow(100) });
    assert.equal((await ask(session, 9, `{${e('id')}:9,${e('sub_refresh')}:{${e('channel')}:${e('$a')},${e('token')}:${e(sub)}}}`)).sub_refresh.expires, true);
    assert.ok((await ask(session, 10, `{${e('id')}:10,${e('refresh')}:{${e('token')}:${e(token)}}}`)).refresh);
    assert.deepEqual((await ask(session, 11, `{${e('id')}:11,${e('unsubscribe')}:{${e('channel')}:${e('$a')}}}`)).unsubscribe, {});
    assert.equal((await ask(session, 12, `{${e('id')}:12,${e('rpc')}:{${e('method')}:${e('m')}}}`)).error.code, 108);
  });
});

describe('numbers and types', { concurrency: true }, () => {
  test('an id is a whole number as JSON writes it', async t => {
    const hub = await start(t);
    const ids = ['1.0', '1e0', '1.5', 'true', '[1]', '{}', '18446744073709551616', '"1"'];
    await each(t, hub, Object.fromEntries(ids.map(id => [id, `{"id":${id},"rpc":{}}`])), async (session, text) => {
      session.send(text);
      assert.deepEqual(await session.closed, BAD_REQUEST);
    });
  });

  test('parameters of a wrong type end with 3501', async t => {
    const hub = await start(t);
    const wrong = {
      'recover a number': '"subscribe":{"channel":"a","recover":1}',
      'positioned a text': '"subscribe":{"channel":"a","positioned":"true"}',
      'offset a text': '"subscribe":{"channel":"a","offset":"1"}',
      'offset too large': '"subscribe":{"channel":"a","offset":18446744073709551616}',
      'flag a text': '"subscribe":{"channel":"a","flag":"1"}',
      'an unknown delta': '"subscribe":{"channel":"a","delta":"vcdiff"}',
      'a filter that is a list': '"subscribe":{"channel":"a","tf":[]}',
      'since a number': '"history":{"channel":"a","since":1}',
      'limit a text': '"history":{"channel":"a","limit":"1"}',
      'reverse a number': '"history":{"channel":"a","reverse":1}',
      'token a number': '"refresh":{"token":1}',
      'method a number': '"rpc":{"method":1}',
      'a list for an object': '"presence":["a"]',
    };
    await each(t, hub, wrong, async (session, text) => {
      session.send(`{"id":2,${text}}`);
      assert.deepEqual(await session.closed, BAD_REQUEST);
    });
  });

  test('map subscriptions and shared polls are denied, and flags that nobody knows are ignored', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub);
    for (const type of [1, 2, 3, 4]) {
      assert.deepEqual(await session.error('subscribe', { channel: 'a', type }), { code: 103, message: 'permission denied' });
    }
    const result = await session.ok('subscribe', { channel: 'a', type: 0, flag: 1 + 64, phase: 2, cursor: 'x', limit: 7, asc: true });
    assert.deepEqual(result, {});
  });

  test('flag 2 with a position that is lost is error 112; without it the client is told', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub);
    const lost = { channel: 'a', recoverable: true, recover: true, offset: 5, epoch: 'elsewher' };
    assert.deepEqual(await session.error('subscribe', { ...lost, flag: 2 }), { code: 112, message: 'unrecoverable position' });
    const { was_recovering, recovered } = await session.ok('subscribe', lost);
    assert.deepEqual([was_recovering, recovered], [true, undefined]);
  });
});

describe('messages of many commands', { concurrency: true }, () => {
  test('a hundred of all kinds are answered in their order', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub);
    const kinds = [
      i => ['subscribe', { channel: `c${i}` }],
      i => ['publish', { channel: `c${i - 1}`, data: i }],
      i => ['history', { channel: `c${i - 2}`, limit: 10 }],
      i => ['presence', { channel: `c${i - 3}` }],
      i => ['presence_stats', { channel: `c${i - 4}` }],
      () => ['rpc', { method: 'x' }],
      i => ['unsubscribe', { channel: `c${i - 6}` }],
      () => ['sub_refresh', { channel: 'nowhere', token: 'x' }],
      i => ['subscribe', { channel: `d${i}`, recoverable: true }],
      () => ['refresh', { token: makeToken({}) }],
    ];
    const commands = Array.from({ length: 100 }, (_, i) => {
      const [method, params] = kinds[i % kinds.length](i);
      return { id: 1000 + i, [method]: params };
    });
    session.send(commands.map(command => JSON.stringify(command)).join('\n'));
    await session.replyTo(1099);
    const replies = session.log.filter(({ id }) => id >= 1000);
    assert.deepEqual(replies.map(({ id }) => id), commands.map(({ id }) => id));
    for (const [i, reply] of replies.entries()) {
      const expected = [5, 7].includes(i % 10) ? 'error' : Object.keys(commands[i])[1];
      assert.ok(reply[expected], `${JSON.stringify(commands[i])}: ${textOf(reply)}`);
    }
  });

  test('line ends: one at the end, with or without a carriage return; no empty lines', async t => {
    const hub = await start(t);
    const good = { 'one at the end': '{"id":2,"rpc":{}}\n', 'carriage returns': '{"id":3,"rpc":{}}\r\n{"id":2,"rpc":{}}\r\n', 'blanks in front': '  {"id":2,"rpc":{}}' };
    await each(t, hub, good, async (session, text) => assert.equal((await ask(session, 2, text)).error.code, 108));
    const bad = { 'one in front': '\n{"id":2,"rpc":{}}', 'commands without one': '{"id":2,"rpc":{}}{"id":3,"rpc":{}}', 'commands with a comma': '{"id":2,"rpc":{}},{"id":3,"rpc":{}}', 'a list of commands': '[{"id":2,"rpc":{}}]', 'a byte order mark': '\ufeff{"id":2,"rpc":{}}' };
    await each(t, hub, bad, async (session, text) => {
      session.send(text);
      assert.deepEqual(await session.closed, BAD_REQUEST);
    });
  });

  test('what was answered before send or a mistake arrives, and nothing of what stands behind it', async t => {
    const hub = await start(t);
    const watcher = await openSession(t, hub);
    await watcher.ok('subscribe', { channel: 'w' });
    const late = '{"id":9,"publish":{"channel":"w","data":"late"}}';
    for (const [text, close] of [['{"send":{"data":1}}', NOT_AVAILABLE], ['{"id":4,"send":{}}', NOT_AVAILABLE], ['{"id":4,"ping":{}}', BAD_REQUEST], ['{"id":4,"dance":{}}', BAD_REQUEST], ['{}', BAD_REQUEST]]) {
      const session = await openSession(t, hub);
      session.send(`{"id":2,"subscribe":{"channel":"a"}}\n{"id":3,"publish":{"channel":"a","data":1}}\n${text}\n${late}`);
      assert.deepEqual(await session.closed, close, text);
      assert.deepEqual(session.log.slice(1).filter(({ id }) => id).map(({ id }) => id), [2, 3], text);
    }
    await hub.call('publish', { channel: 'w', data: 'marker' });
    assert.equal((await watcher.nextPush()).pub.data, 'marker');
  });
});

describe('a connection that was refused', { concurrency: true }, () => {
  test('is good for nothing any more', async t => {
    const hub = await start(t);
    const commands = ['{"id":2,"subscribe":{"channel":"a"}}', '{"id":2,"rpc":{}}', '{"send":{}}', '{}', '{"id":2,"connect":{}}', 'x'];
    for (const text of commands) {
      const session = await openSession(t, hub, { connect: null });
      assert.equal((await session.error('connect', { token: makeToken({ sub: '42', exp: secondsFromNow(-1) }) })).code, 109);
      session.send(text);
      assert.deepEqual(await session.closed, BAD_REQUEST, text);
    }
  });

  test('so are commands that came together with the connect', async t => {
    const hub = await start(t);
    const session = await openSession(t, hub, { connect: null });
    session.send(`{"id":1,"connect":{"token":"${makeToken({ sub: '42', exp: secondsFromNow(-1) })}"}}\n{"id":2,"subscribe":{"channel":"a"}}`);
    assert.equal((await session.replyTo(1)).error.code, 109);
    assert.deepEqual(await session.closed, BAD_REQUEST);
  });
});

test('at level debug the log says what a client did wrong', { concurrency: true }, async t => {
  const hub = await startHub(t, {
    config: {
      log: { level: 'debug' },
      client: { token: { hmac_secret_key: SECRET } },
      channel: { without_namespace: { allow_subscribe_for_client: true }, namespaces: [{ name: 'told', allow_subscribe_for_client: true, allow_tags_filter: true }] },
    },
  });
  const connect = { token: makeToken({ sub: '42' }) };
  const session = await openSession(t, hub, { connect });
  const says = (event, ...parts) => hub.waitForLine(line => line.includes(` debug client ${event} `) && parts.every(part => line.includes(` ${part} `)) && line.endsWith(`user=42 client=${session.id ?? session.connected.client}`));
  const tf = { key: 'a', cmp: 'eq', val: 'b' };
  await session.error('subscribe', { channel: 'filtered', tf });
  await says('subscribe_refused', 'why="allow_tags_filter is off"', 'channel=filtered');
  await says('refused', 'command=subscribe', 'code=107', 'channel=filtered');
  await session.error('subscribe', { channel: 'told:a', tf: { ...tf, cmp: 'equals' } });
  await says('subscribe_refused', 'why="no such filter"', 'channel=told:a');
  await session.error('subscribe', { channel: 'nowhere:a' });
  await says('subscribe_refused', 'why="its namespace is not configured"', 'channel=nowhere:a');
  await says('refused', 'command=subscribe', 'code=102', 'channel=nowhere:a');
  await session.error('presence', { channel: 'p' });
  await says('refused', 'command=presence', 'code=108', 'channel=p');
  await session.error('publish', { channel: 'q', data: {} });
  await says('refused', 'command=publish', 'code=103', 'channel=q');
  await session.error('rpc', { method: 'nope' });
  await says('refused', 'command=rpc', 'code=108', 'channel=""');
  session.send({ id: 99, publish: { channel: 'r' } });
  assert.deepEqual(await session.closed, BAD_REQUEST);
  await says('refused', 'command=publish', 'code=3501', 'channel=r');
  const other = await openSession(t, hub, { connect });
  other.send({ id: 99, conect: {} });
  assert.deepEqual(await other.closed, BAD_REQUEST);
  await hub.waitForLine(line => line.includes('refused command="" code=3501 why="no known method'));
});
