// Who comes back gets exactly what it missed - also when the hub was ended or killed meanwhile - or
// is told that it cannot.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { connect, newClient, newSubscription, nextEvent, nextPublication, publicationsSoFar, subscribe, subscribed } from './lib/client.mjs';
import { startHub } from './lib/hub.mjs';
import { infoWhen, openSession, textOf } from './lib/session.mjs';

const history = { history_size: 100, history_ttl: '1h' };

function startRecoveryHub(t, { channel = {}, namespaces = [], ...client } = {}) {
  const config = {
    client: { insecure: true, ...client },
    channel: { namespaces: [{ name: 'rec', ...history, force_recovery: true }, { name: 'marker' }, ...namespaces], ...channel },
  };
  return startHub(t, { config });
}

async function publishUpTo(hub, channel, first, last) {
  let position;
  for (let i = first; i <= last; i += 1) position = await hub.call('publish', { channel, data: i });
  assert.equal(position.offset, last);
  return position;
}

const numbers = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** The next publications are those of the offsets first to last, each with its own data. */
async function assertNext(sub, first, last) {
  for (const expected of numbers(first, last)) {
    const { offset, data } = await nextPublication(sub);
    assert.deepEqual({ offset, data }, { offset: expected, data: expected });
  }
}

const recovery = ({ wasRecovering, recovered, streamPosition }) => ({ wasRecovering, recovered, epoch: streamPosition.epoch });

describe('the npm client', { concurrency: true }, () => {
  /** A client that has seen the publications 1 and 2 of rec:a. */
  async function clientAtTwo(t, hub) {
    const client = newClient(t, hub);
    const sub = newSubscription(client, 'rec:a');
    await connect(client);
    const { streamPosition: { epoch } } = await subscribe(sub);
    await publishUpTo(hub, 'rec:a', 1, 2);
    await assertNext(sub, 1, 2);
    return { client, sub, epoch };
  }

  async function comeBack(client, sub) {
    const isSubscribed = nextEvent(sub, 'subscribed');
    client.connect();
    return isSubscribed;
  }

  test('recovers after a pause', async t => {
    const hub = await startRecoveryHub(t);
    const { client, sub, epoch } = await clientAtTwo(t, hub);
    client.disconnect();
    await publishUpTo(hub, 'rec:a', 3, 5);
    assert.deepEqual(recovery(await comeBack(client, sub)), { wasRecovering: true, recovered: true, epoch });
    await assertNext(sub, 3, 5);
    await publishUpTo(hub, 'rec:a', 6, 6);
    await assertNext(sub, 6, 6);

    client.disconnect();
    assert.deepEqual(recovery(await comeBack(client, sub)), { wasRecovering: true, recovered: true, epoch });
    await publishUpTo(hub, 'rec:a', 7, 7);
    await assertNext(sub, 7, 7);
  });

  for (const [what, end] of [['ended', hub => hub.stop()], ['killed with -9', hub => hub.kill9()]]) {
    test(`recovers when the hub was ${what} between two publications`, async t => {
      const hub = await startRecoveryHub(t);
      const { client, sub, epoch } = await clientAtTwo(t, hub);
      client.disconnect();
      await publishUpTo(hub, 'rec:a', 3, 4);
      await end(hub);
      await hub.restart();
      await publishUpTo(hub, 'rec:a', 5, 6);
      assert.deepEqual(recovery(await comeBack(client, sub)), { wasRecovering: true, recovered: true, epoch });
      await assertNext(sub, 3, 6);
    });

    test(`recovers without a new publication when the hub was ${what}`, async t => {
      const hub = await startRecoveryHub(t);
      const { client, sub, epoch } = await clientAtTwo(t, hub);
      client.disconnect();
      await end(hub);
      await hub.restart();
      assert.deepEqual(recovery(await comeBack(client, sub)), { wasRecovering: true, recovered: true, epoch });
      await publishUpTo(hub, 'rec:a', 3, 3);
      await assertNext(sub, 3, 3);
    });

    test(`reconnects by itself when the hub was ${what}, and misses nothing`, async t => {
      const hub = await startRecoveryHub(t);
      const { sub, epoch } = await clientAtTwo(t, hub);
      const isSubscribed = nextEvent(sub, 'subscribed');
      await publishUpTo(hub, 'rec:a', 3, 4);
      await end(hub);
      await hub.restart();
      await publishUpTo(hub, 'rec:a', 5, 6);
      assert.deepEqual(recovery(await isSubscribed), { wasRecovering: true, recovered: true, epoch });
      await assertNext(sub, 3, 6);
    });
  }

  test('is told when it cannot recover, and goes on from the current position', async t => {
    const hub = await startRecoveryHub(t, { recovery_max_publication_limit: 5 });
    const { client, sub, epoch } = await clientAtTwo(t, hub);
    client.disconnect();
    await publishUpTo(hub, 'rec:a', 3, 8);
    const context = await comeBack(client, sub);
    assert.deepEqual(recovery(context), { wasRecovering: true, recovered: false, epoch });
    assert.equal(context.streamPosition.offset, 8);
    await publishUpTo(hub, 'rec:a', 9, 9);
    await assertNext(sub, 9, 9);
  });

  test('which comes and goes twenty times in a flood gets every publication once and in order', async t => {
    const hub = await startRecoveryHub(t, { namespaces: [{ name: 'flood', history_size: 10_000, history_ttl: '1h', force_recovery: true }], recovery_max_publication_limit: 10_000 });
    const client = newClient(t, hub);
    const sub = newSubscription(client, 'flood:a');
    await connect(client);
    await subscribe(sub);
    const contexts = [];
    sub.on('subscribed', context => contexts.push(context));
    let isOver = false;
    let top = 0;
    const publisher = async () => {
      while (!isOver) top = Math.max(top, (await hub.call('publish', { channel: 'flood:a', data: 'x' })).offset);
    };
    const publishers = [publisher(), publisher(), publisher()];
    const collected = [];
    try {
      for (let i = 0; i < 20; i += 1) {
        for (let n = 0; n < 10; n += 1) collected.push((await nextPublication(sub)).offset);
        client.disconnect();
        await hub.call('publish', { channel: 'flood:a', data: 'missed' });
        client.connect();
        await subscribed(sub);
      }
    } finally {
      isOver = true;
      await Promise.all(publishers);
    }
    const { offset: last } = await hub.call('publish', { channel: 'flood:a', data: 'last' });
    assert.ok(last > top);
    while (collected.at(-1) !== last) collected.push((await nextPublication(sub)).offset);
    assert.deepEqual(collected, numbers(1, last));
    assert.deepEqual(publicationsSoFar(sub), []);
    assert.equal(contexts.length, 20);
    assert.ok(contexts.every(context => context.recovered), 'every return recovered');
  });
});

describe('on the wire', { concurrency: true }, () => {
  /** rec:a with publications 1 to 10 and the reply to a subscribe with recovery. */
  async function filled(t, { channel = 'rec:a', ...options } = {}) {
    const hub = await startRecoveryHub(t, options);
    const { epoch } = await publishUpTo(hub, channel, 1, 10);
    const recover = async params => {
      const session = await openSession(t, hub);
      return session.ok('subscribe', { channel, recover: true, epoch, ...params });
    };
    return { hub, epoch, recover };
  }
  const items = (first, last) => numbers(first, last).map(i => ({ data: i, offset: i }));

  const sources = {
    'from the storage': {},
    'from memory': { isWatched: true },
    'from both, when memory is small': { isWatched: true, channel: { tail_max_size: 40 } },
    'from the storage alone, when memory is off': { isWatched: true, channel: { tail_max_size: 0 } },
  };
  for (const [source, { isWatched, channel: options }] of Object.entries(sources)) {
    test(`what was missed comes in order, after the requested offset, ${source}`, async t => {
      const hub = await startRecoveryHub(t, { channel: options && { namespaces: [{ name: 'rec', ...history, force_recovery: true }], ...options } });
      if (isWatched) await (await openSession(t, hub)).ok('subscribe', { channel: 'rec:a' });
      const { epoch } = await publishUpTo(hub, 'rec:a', 1, 10);
      for (const offset of [0, 1, 6, 9, 10]) {
        const session = await openSession(t, hub);
        const result = await session.ok('subscribe', { channel: 'rec:a', recover: true, epoch, offset });
        const publications = offset < 10 ? { publications: items(offset + 1, 10) } : {};
        const at = offset > 0 ? { offset } : {};
        assert.deepEqual(result, { recoverable: true, positioned: true, epoch, ...publications, ...at, was_recovering: true, recovered: true });
        session.ws.close();
      }
    });
  }

  test('live publications go on right behind the recovered ones', async t => {
    const { hub, epoch } = await filled(t);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'rec:a', recover: true, epoch, offset: 9 });
    await publishUpTo(hub, 'rec:a', 11, 11);
    assert.deepEqual((await session.nextPush()).pub, { data: 11, offset: 11 });
  });

  test('an empty epoch fits any stream', async t => {
    const { recover } = await filled(t);
    const { recovered, publications } = await recover({ epoch: '', offset: 8 });
    assert.equal(recovered, true);
    assert.deepEqual(publications, items(9, 10));
  });

  test('tags and info are recovered too', async t => {
    const hub = await startRecoveryHub(t);
    const session = await openSession(t, hub);
    const { epoch } = await session.ok('subscribe', { channel: 'rec:a' });
    await hub.call('publish', { channel: 'rec:a', data: 1, tags: { b: 'x', a: 'ü' } });
    await session.ok('publish', { channel: 'rec:a', data: 2 });
    const pushed = [await session.nextPush(), await session.nextPush()].map(push => /"pub":(.*)\}\}$/.exec(textOf(push))[1]);
    const other = await openSession(t, hub);
    const reply = await other.call('subscribe', { channel: 'rec:a', recover: true, epoch });
    assert.ok(textOf(reply).includes(`"publications":[${pushed.join(',')}]`), textOf(reply));
  });

  const lost = (epoch, offset = 10) => ({ recoverable: true, positioned: true, epoch, offset, was_recovering: true });

  test('another epoch, or an offset that is not there yet, is not recovered', async t => {
    const { recover, epoch } = await filled(t);
    assert.deepEqual(await recover({ epoch: 'abcdefgh', offset: 9 }), lost(epoch));
    assert.deepEqual(await recover({ epoch: 'abcdefgh', offset: 10 }), lost(epoch));
    assert.deepEqual(await recover({ epoch: 'x'.repeat(5000), offset: 10 }), lost(epoch));
    assert.deepEqual(await recover({ offset: 11 }), lost(epoch));
    assert.deepEqual(await recover({ offset: Number.MAX_SAFE_INTEGER }), lost(epoch));
  });

  test('more than recovery_max_publication_limit are not recovered', async t => {
    const { recover, epoch } = await filled(t, { recovery_max_publication_limit: 5 });
    assert.deepEqual(await recover({ offset: 4 }), lost(epoch));
    assert.deepEqual((await recover({ offset: 5 })).publications, items(6, 10));
  });

  test('more than history_size are not recovered, as they are not there', async t => {
    const { recover, epoch } = await filled(t, { channel: 'short:a', namespaces: [{ name: 'short', history_size: 3, history_ttl: '1h', force_recovery: true }] });
    assert.deepEqual(await recover({ offset: 6 }), lost(epoch));
    assert.deepEqual((await recover({ offset: 7 })).publications, items(8, 10));
  });

  test('after history_ttl the position stays, but nothing is recovered', async t => {
    const { hub, recover, epoch } = await filled(t, { channel: 'brief:a', namespaces: [{ name: 'brief', history_size: 100, history_ttl: '1s', force_recovery: true }] });
    const watcher = await openSession(t, hub); // keeps the channel in memory
    assert.deepEqual(await watcher.ok('subscribe', { channel: 'brief:a' }), { recoverable: true, positioned: true, epoch, offset: 10 });
    let read;
    do read = await hub.call('history', { channel: 'brief:a', limit: -1 }); while (read.publications.length > 0);
    assert.deepEqual(read, { publications: [], epoch, offset: 10 });
    assert.deepEqual(await recover({ offset: 7 }), lost(epoch));
    assert.equal((await recover({ offset: 10 })).recovered, true);
    await publishUpTo(hub, 'brief:a', 11, 11);
    assert.deepEqual((await recover({ offset: 10 })).publications, items(11, 11));
    assert.deepEqual(await recover({ offset: 9 }), lost(epoch, 11));
  });

  test('who asks for recovery or nothing (flag 2) gets error 112 and is not subscribed', async t => {
    const { hub, epoch } = await filled(t);
    const session = await openSession(t, hub);
    const lostPosition = { channel: 'rec:a', recover: true, epoch: 'abcdefgh', offset: 9 };
    assert.deepEqual(await session.error('subscribe', { ...lostPosition, flag: 2 }), { code: 112, message: 'unrecoverable position' });
    assert.deepEqual(await session.error('subscribe', { ...lostPosition, flag: 3 }), { code: 112, message: 'unrecoverable position' });
    await hub.call('publish', { channel: 'rec:a', data: 'not for us' });
    const result = await session.ok('subscribe', { channel: 'rec:a', recover: true, epoch, offset: 11, flag: 3 });
    assert.equal(result.recovered, true);
    await hub.call('publish', { channel: 'rec:a', data: 'for us' });
    assert.equal((await session.nextPush()).pub.data, 'for us');
  });

  test('a positioned channel without recovery only says where it is', async t => {
    const namespaces = [
      { name: 'may', ...history, allow_positioning: true },
      { name: 'must', ...history, force_positioning: true },
      { name: 'mayrec', ...history, allow_recovery: true },
      { name: 'none', ...history },
      { name: 'plain', allow_positioning: true, allow_recovery: true },
    ];
    const hub = await startRecoveryHub(t, { namespaces });
    const session = await openSession(t, hub);
    const asked = async (channel, params) => {
      const { offset, epoch } = await hub.call('publish', { channel, data: 1 });
      const result = await session.ok('subscribe', { channel, ...params });
      if (result.positioned) assert.deepEqual({ offset: result.offset, epoch: result.epoch }, { offset, epoch }, channel);
      return Object.keys(result).filter(key => key !== 'offset' && key !== 'epoch').sort();
    };
    const wish = { positioned: true, recoverable: true };
    const back = { recover: true, offset: 0 };
    assert.deepEqual(await asked('may:1', {}), []);
    assert.deepEqual(await asked('may:2', { positioned: true }), ['positioned']);
    assert.deepEqual(await asked('may:3', wish), ['positioned']);
    assert.deepEqual(await asked('may:4', { ...wish, ...back }), ['positioned', 'was_recovering']);
    assert.deepEqual(await asked('must:1', {}), ['positioned']);
    assert.deepEqual(await asked('must:2', { ...wish, ...back }), ['positioned', 'was_recovering']);
    assert.deepEqual(await asked('mayrec:1', {}), []);
    assert.deepEqual(await asked('mayrec:2', wish), ['positioned', 'recoverable']);
    assert.deepEqual(await asked('none:1', { ...wish, ...back }), ['was_recovering']);
    assert.deepEqual(await asked('plain:1', { ...wish, ...back }), ['was_recovering']);
  });

  for (const [what, end] of [['ended', hub => hub.stop()], ['killed with -9', hub => hub.kill9()]]) {
    test(`what was answered or pushed in a flood is there after the hub was ${what}`, async t => {
      const namespaces = [{ name: 'flood', history_size: 100_000, history_ttl: '1h', force_positioning: true }];
      const hub = await startRecoveryHub(t, { namespaces });
      const session = await openSession(t, hub);
      const { epoch } = await session.ok('subscribe', { channel: 'flood:a' });
      const answered = [];
      const publisher = async who => {
        for (let i = 0; ; i += 1) {
          const data = `${who} ${i}`;
          const answer = await hub.api('publish', { channel: 'flood:a', data }).catch(() => undefined); // cut
          if (!answer?.json?.result) return;
          answered.push({ data, offset: answer.json.result.offset });
        }
      };
      const publishers = ['a', 'b', 'c', 'd'].map(publisher);
      for (let i = 0; i < 100; i += 1) await session.nextPush();
      await end(hub);
      await Promise.all(publishers);
      await session.closed;
      await hub.restart();
      const { publications, ...position } = await hub.call('history', { channel: 'flood:a', limit: -1 });
      assert.deepEqual(position, { epoch, offset: publications.length });
      for (const { data, offset } of answered) assert.deepEqual(publications[offset - 1], { data, offset });
      const pushed = session.log.filter(message => message.push).map(message => message.push.pub);
      assert.ok(pushed.length >= 100);
      assert.deepEqual(pushed, publications.slice(0, pushed.length));
    });
  }

  test('epoch, offset and history survive a kill -9 right after the answer', async t => {
    const { hub, epoch } = await filled(t);
    await hub.kill9();
    await hub.restart();
    const read = await hub.call('history', { channel: 'rec:a', limit: -1 });
    assert.deepEqual(read, { publications: items(1, 10), epoch, offset: 10 });
    await publishUpTo(hub, 'rec:a', 11, 11);
  });

  test('a position that was handed out before any publication survives a kill -9', async t => {
    const hub = await startRecoveryHub(t);
    const { epoch } = await (await openSession(t, hub)).ok('subscribe', { channel: 'rec:new' });
    await hub.kill9();
    await hub.restart();
    await hub.call('publish', { channel: 'rec:new', data: 1 });
    const { recovered, publications } = await (await openSession(t, hub)).ok('subscribe', { channel: 'rec:new', recover: true, epoch });
    assert.equal(recovered, true);
    assert.deepEqual(publications, items(1, 1));
  });

  test('clients that leave while they recover do no harm', async t => {
    const { hub, epoch } = await filled(t, { channel: 'rec:a' });
    const command = JSON.stringify({ id: 2, subscribe: { channel: 'rec:a', recover: true, epoch } });
    for (let i = 0; i < 30; i += 1) {
      const session = await openSession(t, hub, { connect: null });
      session.send(`{"id":1,"connect":{}}\n${command}\n{"id":3,"history":{"channel":"rec:a","limit":-1}}\n{"id":4,"publish":{"channel":"marker:a","data":1}}`);
      if (i % 2) await session.replyTo(1);
      session.ws.terminate();
    }
    const info = await infoWhen(hub, figures => figures.num_clients === 0);
    assert.equal(info.num_subs, 0);
    const session = await openSession(t, hub);
    assert.equal((await session.ok('subscribe', { channel: 'rec:a', recover: true, epoch, offset: 10 })).recovered, true);
  });
});
