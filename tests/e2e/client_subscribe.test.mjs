// What a connected client can do in channels: subscribe, publish, history, presence; and who may.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextPublication, subscribe } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { openSession, textOf } from './lib/session.mjs';
import { makeToken, SECRET } from './lib/token.mjs';

const history = { history_size: 100, history_ttl: '1h' };

/** Everybody may do everything, in these namespaces. */
function startOpenHub(t, { namespaces = [], ...client } = {}) {
  const config = {
    client: { insecure: true, token: { hmac_secret_key: SECRET }, ...client },
    channel: {
      without_namespace: { presence: true },
      namespaces: [{ name: 'log', ...history }, { name: 'plain' }, { name: 'pos', ...history, force_positioning: true }, ...namespaces],
    },
  };
  return startHub(t, { config });
}

async function dataOfNext(session) {
  return (await session.nextPush()).pub.data;
}

describe('subscribe and unsubscribe', { concurrency: true }, () => {
  test('a subscriber gets what is published, until it unsubscribes, and again when it comes back', async t => {
    const hub = await startOpenHub(t);
    const session = await openSession(t, hub);
    assert.deepEqual(await session.ok('subscribe', { channel: 'plain:a' }), {});
    assert.deepEqual(await session.ok('subscribe', { channel: 'marker' }), {});
    await hub.call('publish', { channel: 'plain:a', data: 1 });
    assert.deepEqual(await session.nextPush(), { channel: 'plain:a', pub: { data: 1 } });

    assert.deepEqual(await session.ok('unsubscribe', { channel: 'plain:a' }), {});
    await hub.call('publish', { channel: 'plain:a', data: 2 });
    await hub.call('publish', { channel: 'marker', data: 'marker' });
    assert.equal(await dataOfNext(session), 'marker');

    await session.ok('subscribe', { channel: 'plain:a' });
    await hub.call('publish', { channel: 'plain:a', data: 3 });
    assert.equal(await dataOfNext(session), 3);
  });

  test('a channel with history says offset and epoch to those who are positioned only', async t => {
    const hub = await startOpenHub(t);
    const session = await openSession(t, hub);
    assert.deepEqual(await session.ok('subscribe', { channel: 'log:a' }), {});
    const fresh = await session.ok('subscribe', { channel: 'pos:a' });
    assert.match(fresh.epoch, /^[a-zA-Z]{8}$/);
    assert.deepEqual(fresh, { epoch: fresh.epoch, positioned: true });
    const { offset, epoch } = await hub.call('publish', { channel: 'pos:a', data: 1 });
    assert.deepEqual({ offset, epoch }, { offset: 1, epoch: fresh.epoch });
    assert.deepEqual(await session.nextPush(), { channel: 'pos:a', pub: { data: 1, offset: 1 } });
    const other = await openSession(t, hub);
    assert.deepEqual(await other.ok('subscribe', { channel: 'pos:a' }), { epoch, offset: 1, positioned: true });
  });

  test('two subscribers get the same, byte for byte', async t => {
    const hub = await startOpenHub(t);
    const sessions = [await openSession(t, hub), await openSession(t, hub)];
    for (const session of sessions) await session.ok('subscribe', { channel: 'log:a' });
    await hub.call('publish', { channel: 'log:a', data: { text: 'ü' }, tags: { kind: 'x' } });
    for (const session of sessions) {
      const expected = '{"push":{"channel":"log:a","pub":{"data":{"text":"ü"},"offset":1,"tags":{"kind":"x"}}}}';
      assert.equal(textOf(await session.nextPush()), expected);
    }
  });

  test('one who has gone is no subscriber any more, and the others stay', async t => {
    const hub = await startOpenHub(t);
    const [stays, leaves, dies] = [await openSession(t, hub), await openSession(t, hub), await openSession(t, hub)];
    for (const session of [leaves, stays, dies]) await session.ok('subscribe', { channel: 'a' });
    leaves.ws.close();
    await leaves.closed;
    dies.ws.terminate();
    await dies.closed;
    let figures;
    do figures = await stays.ok('presence_stats', { channel: 'a' }); while (figures.num_clients > 1);
    await hub.call('publish', { channel: 'a', data: 'for one' });
    assert.equal(await dataOfNext(stays), 'for one');
  });

  test('to unsubscribe from what one is not subscribed to succeeds', async t => {
    const hub = await startOpenHub(t);
    const session = await openSession(t, hub);
    assert.deepEqual(await session.ok('unsubscribe', { channel: 'never' }), {});
    assert.deepEqual(await session.ok('unsubscribe', { channel: 'nowhere:never' }), {});
  });

  test('what cannot be subscribed to is answered with an error', async t => {
    const hub = await startOpenHub(t);
    const session = await openSession(t, hub);
    const longest = 'x'.repeat(255);
    await session.ok('subscribe', { channel: longest });
    await session.ok('subscribe', { channel: 'log:a' });
    const expected = {
      'nowhere:a': { code: 102, message: 'unknown channel' },
      'log': null, // without a namespace
      'log:a': { code: 105, message: 'already subscribed' },
      $private: { code: 103, message: 'permission denied' },
      '$log:private': { code: 103, message: 'permission denied' },
      '$nowhere:private': { code: 102, message: 'unknown channel' },
      [`${longest}y`]: { code: 107, message: 'bad request' },
      'über': { code: 107, message: 'bad request' },
      'a\nb': { code: 107, message: 'bad request' },
    };
    for (const [channel, error] of Object.entries(expected)) {
      const reply = await session.call('subscribe', { channel });
      assert.deepEqual(reply.error ?? null, error, `${channel}: ${textOf(reply)}`);
    }
  });

  test('a name written with escapes is the same name', async t => {
    const hub = await startOpenHub(t);
    const session = await openSession(t, hub);
    session.send('{"id":50,"subscribe":{"channel":"\\u0070lain:\\/a\\"b"}}');
    assert.ok((await session.replyTo(50)).subscribe);
    await hub.call('publish', { channel: 'plain:/a"b', data: 1 });
    assert.deepEqual(await session.nextPush(), { channel: 'plain:/a"b', pub: { data: 1 } });
    assert.equal((await session.error('subscribe', { channel: 'plain:/a"b' })).code, 105);
  });
});

describe('order', { concurrency: true }, () => {
  test('connect and subscribes in one message are answered in their order', async t => {
    const hub = await startOpenHub(t);
    const session = await openSession(t, hub, { connect: null });
    const commands = [
      { connect: {}, id: 1 },
      { subscribe: { channel: 'log:a', flag: 1 }, id: 2 },
      { subscribe: { channel: 'nowhere:b' }, id: 3 },
      { subscribe: { channel: 'pos:c' }, id: 4 },
      { publish: { channel: 'pos:c', data: 'x' }, id: 5 },
      { history: { channel: 'pos:c', limit: 1 }, id: 6 },
      { presence: { channel: 'd' }, id: 7 },
      { unsubscribe: { channel: 'pos:c' }, id: 8 },
      { presence_stats: { channel: 'd' }, id: 9 },
    ];
    session.send(commands.map(command => JSON.stringify(command)).join('\n'));
    const last = await session.replyTo(9);
    const replies = session.log.filter(message => message.id);
    assert.deepEqual(replies.map(reply => reply.id), commands.map(command => command.id));
    assert.equal(replies[2].error.code, 102);
    assert.equal(replies[5].history.publications[0].data, 'x');
    assert.deepEqual(last.presence_stats, { num_clients: 0, num_users: 0 });
  });

  test('commands of many messages are answered in their order', async t => {
    const hub = await startOpenHub(t);
    const session = await openSession(t, hub, { connect: null });
    session.send({ id: 1, connect: {} });
    for (let id = 2; id <= 200; id += 1) {
      session.send(id % 2 ? { id, publish: { channel: 'log:a', data: id } } : { id, rpc: {} });
    }
    await session.replyTo(200);
    assert.deepEqual(session.log.map(message => message.id), Array.from({ length: 200 }, (_, i) => i + 1));
  });

  test('the reply to subscribe comes before the first push, whatever is published meanwhile', async t => {
    const hub = await startOpenHub(t);
    let isOver = false;
    const flood = (async () => {
      while (!isOver) {
        await Promise.all(['plain:a', 'pos:a'].map(channel => hub.call('publish', { channel, data: 'x' })));
      }
    })();
    try {
      for (let i = 0; i < 20; i += 1) {
        const session = await openSession(t, hub, { connect: null });
        session.send('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"plain:a"}}\n{"id":3,"subscribe":{"channel":"pos:a"}}');
        const seen = new Set();
        while (seen.size < 2) seen.add((await session.nextPush()).channel);
        for (const [channel, id] of [['plain:a', 2], ['pos:a', 3]]) {
          const reply = session.log.findIndex(message => message.id === id);
          const push = session.log.findIndex(message => message.push?.channel === channel);
          assert.ok(reply >= 0 && reply < push, `${channel}: reply at ${reply}, push at ${push}`);
        }
        const { subscribe: { offset } } = session.log.find(message => message.id === 3);
        const first = session.log.find(message => message.push?.channel === 'pos:a');
        assert.equal(first.push.pub.offset, offset + 1, 'live publications go on where the reply stands');
        session.ws.terminate();
      }
    } finally {
      isOver = true;
      await flood;
    }
  });

  test('offsets are pushed without a gap to all subscribers of a flooded channel', async t => {
    const hub = await startOpenHub(t);
    const sessions = [await openSession(t, hub), await openSession(t, hub)];
    for (const session of sessions) await session.ok('subscribe', { channel: 'pos:a' });
    const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => hub.call('publish', { channel: 'pos:a', data: i })));
    const dataAt = new Map(answers.map(({ offset }, i) => [offset, i]));
    assert.equal(dataAt.size, 300);
    for (const session of sessions) {
      for (let offset = 1; offset <= 300; offset += 1) {
        assert.deepEqual((await session.nextPush()).pub, { data: dataAt.get(offset), offset });
      }
    }
  });
});

describe('many subscribers', { concurrency: true }, () => {
  test('get everything in order while others come and go', async t => {
    const hub = await startOpenHub(t);
    const join = async () => {
      const session = await openSession(t, hub);
      await session.ok('subscribe', { channel: 'pos:a' });
      return session;
    };
    const sessions = await Promise.all(Array.from({ length: 200 }, join));
    const n = 60;
    for (let i = 0; i < n; i += 1) {
      const published = Promise.all([hub.call('publish', { channel: 'pos:a', data: 'x' }), hub.call('publish', { channel: 'pos:a', data: 'x' })]);
      const [leaves, dies] = [sessions[3 * i], sessions[3 * i + 1]];
      leaves.send({ id: 99, unsubscribe: { channel: 'pos:a' } });
      dies.ws.terminate();
      const joins = join();
      await published;
      (await joins).ws.close();
    }
    const stay = sessions.filter((_, i) => i % 3 === 2 || i >= 3 * n);
    assert.equal(stay.length, 80);
    for (const session of stay) {
      for (let offset = 1; offset <= 2 * n; offset += 1) assert.equal((await session.nextPush()).pub.offset, offset);
    }
    for (let i = 0; i < n; i += 1) {
      const { log } = sessions[3 * i];
      await sessions[3 * i].replyTo(99);
      assert.equal(log.at(-1).id, 99, 'nothing comes behind the reply to unsubscribe');
    }
    let figures;
    do [figures] = (await hub.call('info')).nodes; while (figures.num_subs > stay.length);
    assert.equal(figures.num_subs, stay.length);
  });
});

describe('payloads', { concurrency: true }, () => {
  const payloads = [
    '{"price":1.10,"big":12345678901234567890,"tiny":1e-400,"zero":-0.0,"exp":1E+2}',
    '{"a":"\\u00e9\\/\\n\\t\\"\\\\\\u0000\\ud83d\\ude00","b":"é😀\u2028\u007f"}',
    '{"a":1,"a":2,"":[],"{}":{}}',
    '[1, 2,\t3 , {"x" : null}]',
    '"text"', '""', '0', '-1.5e3', 'true', 'false', 'null', '{}', '[]',
  ];

  test('reach subscribers, history and recovery byte for byte, from backends and from clients', async t => {
    const hub = await startOpenHub(t, { namespaces: [{ name: 'rec', ...history, force_recovery: true }] });
    const session = await openSession(t, hub);
    const { epoch } = await session.ok('subscribe', { channel: 'rec:a' });
    let offset = 0;
    for (const data of payloads) {
      await hub.api('publish', `{"channel":"rec:a","data":${data}}`);
      offset += 1;
      assert.equal(textOf(await session.nextPush()), `{"push":{"channel":"rec:a","pub":{"data":${data},"offset":${offset}}}}`);

      session.send(`{"id":${1000 + offset},"publish":{"data":${data},"channel":"rec:a"}}`);
      offset += 1;
      const info = `{"user":"","client":"${session.id}"}`;
      assert.equal(textOf(await session.nextPush()), `{"push":{"channel":"rec:a","pub":{"data":${data},"info":${info},"offset":${offset}}}}`);
    }
    const publications = payloads.flatMap((data, i) => [
      `{"data":${data},"offset":${2 * i + 1}}`,
      `{"data":${data},"info":{"user":"","client":"${session.id}"},"offset":${2 * i + 2}}`,
    ]).join(',');
    const read = await session.call('history', { channel: 'rec:a', limit: -1 });
    assert.equal(textOf(read), `{"id":${read.id},"history":{"publications":[${publications}],"epoch":"${epoch}","offset":${offset}}}`);
    const { text } = await hub.api('history', { channel: 'rec:a', limit: -1 });
    assert.ok(text.includes(`[${publications}]`), text);
    const again = await openSession(t, hub);
    const recovered = await again.call('subscribe', { channel: 'rec:a', recover: true, epoch });
    assert.ok(textOf(recovered).includes(`"publications":[${publications}]`), textOf(recovered));
  });

  test('pretty JSON arrives on one line, its texts untouched', async t => {
    const hub = await startOpenHub(t);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'log:a' });
    const frames = [];
    session.ws.on('message', data => frames.push(data.toString()));
    await hub.api('publish', '{\n  "channel": "log:a",\r\n  "data": {\n    "a": 1.10,\r\n    "b": "x\\ny",\n    "c": [\n      1\n    ]\n  }\n}\n');
    const push = await session.nextPush();
    assert.deepEqual(push.pub, { data: { a: 1.1, b: 'x\ny', c: [1] }, offset: 1 });
    assert.match(textOf(push), /"a": *1\.10,/);
    assert.doesNotMatch(frames.join(''), /[\r\n]/);
    const read = await session.call('history', { channel: 'log:a', limit: 1 });
    assert.deepEqual(read.history.publications, [push.pub]);
  });

  test('large ones arrive whole', async t => {
    const hub = await startOpenHub(t);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'log:a' });
    const data = 'ü'.repeat(400_000);
    await hub.call('publish', { channel: 'log:a', data });
    assert.equal(await dataOfNext(session), data);
    assert.equal((await session.ok('history', { channel: 'log:a', limit: 1 })).publications[0].data, data);
  });
});

describe('publish by clients', { concurrency: true }, () => {
  test('names the publisher, also to himself', async t => {
    const hub = await startOpenHub(t);
    const publisher = await openSession(t, hub, { connect: { token: makeToken({ sub: '42', info: { name: 'Ann' } }) } });
    const listener = await openSession(t, hub);
    const info = { user: '42', client: publisher.id, conn_info: { name: 'Ann' } };
    for (const session of [publisher, listener]) await session.ok('subscribe', { channel: 'log:a' });
    assert.deepEqual(await publisher.ok('publish', { channel: 'log:a', data: { x: 1 } }), {});
    for (const session of [publisher, listener]) {
      assert.deepEqual((await session.nextPush()).pub, { data: { x: 1 }, info, offset: 1 });
    }
    const { publications } = await listener.ok('history', { channel: 'log:a', limit: 1 });
    assert.deepEqual(publications, [{ data: { x: 1 }, info, offset: 1 }]);
  });

  test('goes nowhere when the channel cannot be', async t => {
    const hub = await startOpenHub(t);
    const session = await openSession(t, hub);
    assert.equal((await session.error('publish', { channel: 'nowhere:a', data: 1 })).code, 102);
    assert.equal((await session.error('publish', { channel: 'x'.repeat(256), data: 1 })).code, 107);
  });

  test('with the npm client', async t => {
    const hub = await startOpenHub(t);
    const client = newClient(t, hub);
    const { client: id } = await connect(client);
    const sub = newSubscription(client, 'log:a');
    await subscribe(sub);
    await sub.publish({ text: 'hello' });
    const { data, info, offset } = await nextPublication(sub);
    assert.deepEqual(data, { text: 'hello' });
    assert.equal(info.client, id);
    assert.equal(offset, 1);
    const read = await sub.history({ limit: 10 });
    assert.deepEqual(read.publications.map(publication => publication.data), [{ text: 'hello' }]);
    await assert.rejects(sub.presence(), { code: 108 });
  });
});

describe('history', { concurrency: true }, () => {
  async function filled(t, options) {
    const hub = await startOpenHub(t, options);
    const session = await openSession(t, hub);
    for (let i = 1; i <= 10; i += 1) await hub.call('publish', { channel: 'log:a', data: i });
    const read = params => session.ok('history', { channel: 'log:a', ...params });
    const offsets = async params => (await read(params)).publications.map(({ offset }) => offset);
    return { hub, session, read, offsets };
  }

  test('limit, since and reverse', async t => {
    const { read, offsets } = await filled(t);
    const { epoch, offset, publications } = await read({});
    assert.deepEqual({ offset, publications }, { offset: 10, publications: [] });
    assert.match(epoch, /^[a-zA-Z]{8}$/);
    const since = from => ({ offset: from, epoch });
    const all = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    assert.deepEqual(await read({ limit: 0 }), { publications: [], epoch, offset: 10 });
    assert.deepEqual(await read({ limit: 1 }), { publications: [{ data: 1, offset: 1 }], epoch, offset: 10 });
    assert.deepEqual(await offsets({ limit: -1 }), all);
    assert.deepEqual(await offsets({ limit: 3 }), [1, 2, 3]);
    assert.deepEqual(await offsets({ limit: 1000 }), all);
    assert.deepEqual(await offsets({ limit: -1, reverse: true }), [...all].reverse());
    assert.deepEqual(await offsets({ limit: 3, reverse: true }), [10, 9, 8]);
    assert.deepEqual(await offsets({ limit: 2, since: since(4) }), [5, 6]);
    assert.deepEqual(await offsets({ limit: -1, since: since(4) }), [5, 6, 7, 8, 9, 10]);
    assert.deepEqual(await offsets({ limit: -1, since: { offset: 8 } }), [9, 10], 'an empty epoch fits any');
    assert.deepEqual(await offsets({ limit: -1, since: { epoch } }), all, 'a missing offset is 0');
    assert.deepEqual(await offsets({ limit: 2, since: since(4), reverse: true }), [3, 2]);
    assert.deepEqual(await offsets({ limit: -1, since: since(4), reverse: true }), [3, 2, 1]);
    assert.deepEqual(await offsets({ limit: -1, since: since(1), reverse: true }), []);
    assert.deepEqual(await offsets({ limit: -1, since: since(10) }), []);
    assert.deepEqual(await offsets({ limit: -1, since: since(99) }), []);
  });

  test('what cannot be answered', async t => {
    const { session, read } = await filled(t);
    const { epoch } = await read({});
    const error = async params => (await session.error('history', { channel: 'log:a', limit: 1, ...params })).code;
    assert.equal(await error({ since: { offset: 1, epoch: 'WrongOne' } }), 112);
    assert.equal(await error({ since: { offset: 1, epoch: `${epoch}x` } }), 112);
    assert.equal(await error({ since: { offset: 1, epoch: 'x'.repeat(1000) } }), 112);
    assert.equal(await error({ since: { offset: 0, epoch }, reverse: true }), 107);
    assert.equal(await error({ limit: -2 }), 107);
    assert.equal(await error({ channel: 'plain:a' }), 108);
    assert.equal(await error({ channel: 'nowhere:a' }), 102);
  });

  test('no more than history_max_publication_limit at a time', async t => {
    const { offsets } = await filled(t, { history_max_publication_limit: 4 });
    assert.deepEqual(await offsets({ limit: -1 }), [1, 2, 3, 4]);
    assert.deepEqual(await offsets({ limit: 9 }), [1, 2, 3, 4]);
    assert.deepEqual(await offsets({ limit: 9, reverse: true }), [10, 9, 8, 7]);
  });

  test('no more than history_size are kept', async t => {
    const hub = await startOpenHub(t, { namespaces: [{ name: 'short', history_size: 3, history_ttl: '1h' }] });
    for (let i = 1; i <= 10; i += 1) await hub.call('publish', { channel: 'short:a', data: i });
    const session = await openSession(t, hub);
    const { publications, offset } = await session.ok('history', { channel: 'short:a', limit: -1 });
    assert.deepEqual(publications.map(publication => publication.offset), [8, 9, 10]);
    assert.equal(offset, 10);
  });
});

describe('presence', { concurrency: true }, () => {
  test('tells who is subscribed, and counts each user once', async t => {
    const hub = await startOpenHub(t);
    const token = sub => ({ connect: { token: makeToken({ sub }) } });
    const ann = [await openSession(t, hub, token('ann')), await openSession(t, hub, token('ann'))];
    const bob = await openSession(t, hub, token('bob'));
    const anonymous = [await openSession(t, hub), await openSession(t, hub)];
    const everybody = [...ann, bob, ...anonymous];
    for (const session of everybody) await session.ok('subscribe', { channel: 'a' });
    const watcher = await openSession(t, hub);
    const { presence } = await watcher.ok('presence', { channel: 'a' });
    const users = ['ann', 'ann', 'bob', '', ''];
    assert.deepEqual(presence, Object.fromEntries(everybody.map(({ id }, i) => [id, { user: users[i], client: id }])));
    assert.deepEqual(await watcher.ok('presence_stats', { channel: 'a' }), { num_clients: 5, num_users: 3 });
    await ann[0].ok('unsubscribe', { channel: 'a' });
    assert.deepEqual(await watcher.ok('presence_stats', { channel: 'a' }), { num_clients: 4, num_users: 3 });
    await bob.ok('unsubscribe', { channel: 'a' });
    assert.deepEqual(await watcher.ok('presence_stats', { channel: 'a' }), { num_clients: 3, num_users: 2 });
  });

  test('an empty channel has nobody, and where presence is off nobody can ask', async t => {
    const hub = await startOpenHub(t);
    const session = await openSession(t, hub);
    assert.deepEqual(await session.ok('presence', { channel: 'empty' }), { presence: {} });
    assert.deepEqual(await session.ok('presence_stats', { channel: 'empty' }), { num_clients: 0, num_users: 0 });
    for (const method of ['presence', 'presence_stats']) {
      assert.deepEqual(await session.error(method, { channel: 'log:a' }), { code: 108, message: 'not available' });
      assert.equal((await session.error(method, { channel: 'nowhere:a' })).code, 102);
    }
  });
});

describe('permissions', { concurrency: true }, () => {
  // option suffixes that are on -> who may: users, anonymous; each not subscribed and subscribed
  const rules = [
    [[], { user: [false, false], anonymous: [false, false] }],
    [['client'], { user: [true, true], anonymous: [false, false] }],
    [['anonymous'], { user: [false, false], anonymous: [false, false] }],
    [['client', 'anonymous'], { user: [true, true], anonymous: [true, true] }],
    [['subscriber'], { user: [false, true], anonymous: [false, false] }],
    [['subscriber', 'anonymous'], { user: [false, true], anonymous: [false, true] }],
  ];
  const actions = {
    publish: [['publish', { data: 1 }]],
    history: [['history', { limit: 1 }]],
    presence: [['presence', {}], ['presence_stats', {}]],
  };
  const nameOf = (action, suffixes) => ['ns', action, ...suffixes].join('-');

  function namespaceFor(action, suffixes) {
    const allowed = suffixes.map(suffix => [`allow_${action}_for_${suffix}`, true]);
    const subscribable = action === 'subscribe' ? {} : { allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true };
    return { name: nameOf(action, suffixes), ...history, presence: true, ...subscribable, ...Object.fromEntries(allowed) };
  }

  async function start(t, namespaces) {
    const client = { allow_anonymous_connect_without_token: true, token: { hmac_secret_key: SECRET } };
    const hub = await startHub(t, { config: { client, channel: { namespaces } } });
    return { user: await openSession(t, hub, { connect: { token: makeToken({ sub: '42' }) } }), anonymous: await openSession(t, hub) };
  }

  async function isAllowed(session, method, params) {
    const { error } = await session.call(method, params);
    if (error) assert.deepEqual(error, { code: 103, message: 'permission denied' });
    return !error;
  }

  test('to subscribe', async t => {
    const cases = rules.filter(([suffixes]) => !suffixes.includes('subscriber'));
    const sessions = await start(t, cases.map(([suffixes]) => namespaceFor('subscribe', suffixes)));
    for (const [suffixes, expected] of cases) {
      const channel = `${nameOf('subscribe', suffixes)}:a`;
      for (const who of ['user', 'anonymous']) {
        assert.equal(await isAllowed(sessions[who], 'subscribe', { channel }), expected[who][0], `${who} in ${channel}`);
      }
    }
  });

  for (const [action, commands] of Object.entries(actions)) {
    test(`to ask for ${action}`, async t => {
      const sessions = await start(t, rules.map(([suffixes]) => namespaceFor(action, suffixes)));
      for (const [suffixes, expected] of rules) {
        const channel = `${nameOf(action, suffixes)}:a`;
        for (const who of ['user', 'anonymous']) {
          for (const isSubscribed of [0, 1]) {
            if (isSubscribed) await sessions[who].ok('subscribe', { channel });
            for (const [method, params] of commands) {
              const wanted = expected[who][isSubscribed];
              assert.equal(await isAllowed(sessions[who], method, { channel, ...params }), wanted, `${method} in ${channel}, ${who}, subscribed ${isSubscribed}`);
            }
          }
        }
      }
    });
  }

  test('channels without a namespace have options of their own', async t => {
    const client = { allow_anonymous_connect_without_token: true };
    const channel = { without_namespace: { allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true } };
    const hub = await startHub(t, { config: { client, channel } });
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'a' });
    assert.equal((await session.error('publish', { channel: 'a', data: 1 })).code, 103);
    assert.equal((await session.error('history', { channel: 'a' })).code, 108);
    assert.equal((await session.error('presence', { channel: 'a' })).code, 108);
  });
});
