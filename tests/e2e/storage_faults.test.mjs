// What breaks below the hub: the disk, other programs, the file itself. It refuses to start and says why, or it
// goes on with what it can do; it never gives a wrong answer.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, copyFile, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { belfry, temporaryFolder } from './lib/command.mjs';
import { startHub } from './lib/hub.mjs';
import { startProcess } from './lib/process.mjs';
import { openSession } from './lib/session.mjs';
import { openSql, runSql } from './lib/sql.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { ordinaryUser } from './lib/user.mjs';

const BIN = process.env.BELFRY_BIN ?? fileURLToPath(new URL('../../build/release/belfry', import.meta.url));

const log = { name: 'log', history_size: 1000, history_ttl: '1h', force_recovery: true };
const live = { name: 'live' };
const config = { client: { insecure: true }, channel: { namespaces: [log, live], tail_max_size: 0 } };
const INTERNAL = { code: 100, message: 'internal server error' };

const startFaultHub = (t, more = {}) => startHub(t, { config: { ...config, ...more } });
const configOf = hub => join(hub.dir, 'belfry.json');
const databaseOf = hub => join(hub.dir, 'belfry.sqlite');
const logOf = hub => `${databaseOf(hub)}-wal`;
const numbers = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
const items = (first, last) => numbers(first, last).map(i => ({ data: i, offset: i }));

async function publishUpTo(hub, channel, first, last) {
  let position;
  for (let i = first; i <= last; i += 1) position = await hub.call('publish', { channel, data: i });
  assert.equal(position.offset, last);
  return position;
}

async function historyOf(hub, channel) {
  const { publications, offset } = await hub.call('history', { channel, limit: -1 });
  return { publications, offset };
}

async function assertError(hub, method, body) {
  const { status, json } = await hub.api(method, body);
  assert.deepEqual({ status, json }, { status: 200, json: { error: INTERNAL } });
}

/** Fails unless a start says all of that and ends with 1. */
async function assertRefused(hub, ...patterns) {
  const { code, text } = await belfry(['serve', '--config', configOf(hub)]);
  assert.equal(code, 1, text);
  for (const pattern of [...patterns, / error main not_started /]) assert.match(text, pattern);
}

async function assertSound(hub) {
  const { code, text } = await belfry(['checkdb', '--config', configOf(hub)]);
  assert.equal(code, 0, text);
}

describe('no room on the disk', { concurrency: true }, () => {
  // Like a full disk: no file may become or stay longer. The hub has other files open, but writes to none.
  const limit = (hub, bytes) => promisify(execFile)('prlimit', ['--pid', String(hub.pid), `--fsize=${bytes}:`]);
  const fill = hub => limit(hub, 0);
  const makeRoom = hub => limit(hub, 'unlimited');

  /** A hub with three publications in log:a, and a session in log:a and live:a. */
  async function fullHub(t, more) {
    const hub = await startFaultHub(t, more);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'log:a' });
    await session.ok('subscribe', { channel: 'live:a' });
    const { epoch } = await publishUpTo(hub, 'log:a', 1, 3);
    for (const offset of [1, 2, 3]) assert.equal((await session.nextPush()).pub.offset, offset);
    await fill(hub);
    return { hub, session, epoch };
  }

  test('publishers get an error, and nobody sees what was not stored', async t => {
    const { hub, session } = await fullHub(t);
    for (let i = 0; i < 3; i += 1) await assertError(hub, 'publish', { channel: 'log:a', data: 'lost' });
    assert.deepEqual(await session.error('publish', { channel: 'log:a', data: 'lost' }), { ...INTERNAL, temporary: true });
    const { responses } = await hub.call('broadcast', { channels: ['log:a', 'live:a'], data: 'both' });
    assert.deepEqual(responses, [{ error: INTERNAL }, { result: {} }]);
    await hub.waitForLine(line => / error storage failed action=write .*error=/.test(line));
    assert.deepEqual((await session.nextPush()), { channel: 'live:a', pub: { data: 'both' } }, 'nothing lost came before');
    assert.deepEqual(await historyOf(hub, 'log:a'), { publications: items(1, 3), offset: 3 });
    await makeRoom(hub);
    await publishUpTo(hub, 'log:a', 4, 4);
    assert.deepEqual((await session.nextPush()).pub, { data: 4, offset: 4 });
  });

  test('what needs no room goes on: live channels, history, recovery, new connections', async t => {
    const { hub, session, epoch } = await fullHub(t);
    await assertError(hub, 'publish', { channel: 'log:a', data: 'lost' });
    for (const data of numbers(1, 20)) {
      assert.deepEqual(await hub.call('publish', { channel: 'live:a', data }), {});
      assert.deepEqual((await session.nextPush()).pub, { data });
    }
    await hub.call('publish', { channel: 'log:a', data: 'unkept', skip_history: true });
    assert.deepEqual((await session.nextPush()).pub, { data: 'unkept' });
    const other = await openSession(t, hub);
    const { publications, recovered } = await other.ok('subscribe', { channel: 'log:a', recover: true, epoch, offset: 1 });
    assert.deepEqual({ publications, recovered }, { publications: items(2, 3), recovered: true });
    assert.deepEqual(await historyOf(hub, 'log:a'), { publications: items(1, 3), offset: 3 });
    assert.deepEqual(await other.error('subscribe', { channel: 'log:unseen' }), { ...INTERNAL, temporary: true }, 'its position could not be kept');
    await makeRoom(hub);
    await other.ok('subscribe', { channel: 'log:unseen' });
  });

  test('with room again all goes on without a restart, and every acknowledged publication is kept', async t => {
    const { hub, session, epoch } = await fullHub(t);
    for (let i = 0; i < 10; i += 1) await assertError(hub, 'publish', { channel: 'log:a', data: 'lost' });
    await assertError(hub, 'publish', { channel: 'log:a', data: 4, idempotency_key: 'again' });
    await makeRoom(hub);
    assert.deepEqual(await hub.call('publish', { channel: 'log:a', data: 4, idempotency_key: 'again' }), { offset: 4, epoch });
    await publishUpTo(hub, 'log:a', 5, 30);
    await hub.waitForLine(line => / info storage writes_again failed_groups=\d+/.test(line));
    for (const offset of numbers(4, 30)) assert.deepEqual((await session.nextPush()).pub, { data: offset, offset });
    const expected = { publications: items(1, 30), offset: 30 };
    assert.deepEqual(await historyOf(hub, 'log:a'), expected);
    await assertSound(hub);
    await hub.kill9();
    await hub.restart();
    assert.deepEqual(await historyOf(hub, 'log:a'), expected);
    assert.equal((await hub.call('history', { channel: 'log:a' })).epoch, epoch);
  });

  test('that comes and goes under load loses nothing that was acknowledged', async t => {
    const hub = await startFaultHub(t);
    const acknowledged = [];
    let n = 0;
    let isOver = false;
    const publisher = async () => {
      while (!isOver) {
        const data = ++n;
        const { json } = await hub.api('publish', { channel: 'log:a', data });
        if (json.result) acknowledged[json.result.offset] = data;
        else assert.deepEqual(json, { error: INTERNAL });
      }
    };
    const publishers = numbers(1, 4).map(publisher);
    try {
      for (let i = 0; i < 5; i += 1) {
        await fill(hub);
        await assertError(hub, 'publish', { channel: 'log:a', data: 'lost' });
        await makeRoom(hub);
        acknowledged[(await hub.call('publish', { channel: 'log:a', data: `round ${i}` })).offset] = `round ${i}`;
      }
    } finally {
      isOver = true;
      await Promise.all(publishers);
    }
    const { publications, offset } = await historyOf(hub, 'log:a');
    assert.equal(offset, acknowledged.length - 1);
    assert.deepEqual(publications, publications.map((_, i) => offset - publications.length + 1 + i).map(o => ({ data: acknowledged[o], offset: o })));
    await assertSound(hub);
  });

  test('a refresh of a feed fails, and succeeds when there is room', async t => {
    const upstream = await startUpstream(t);
    const feeds = [{ name: 'feed', channel: 'log:feed', upstreams: [{ name: 'one', url: `${upstream.url}/json` }] }];
    const { hub } = await fullHub(t, { feeds });
    const { json: { error } } = await hub.api('feed_refresh', { feed: 'feed' });
    assert.deepEqual(error, { code: 100, message: 'internal server error: the snapshot could not be stored: io' });
    assert.equal((await hub.api('feed_get', { feed: 'feed' })).json.error.code, 108);
    await makeRoom(hub);
    assert.equal((await hub.call('feed_refresh', { feed: 'feed' })).offset, 1);
  });

  test('an orderly end keeps what was acknowledged', async t => {
    const { hub } = await fullHub(t);
    await assertError(hub, 'publish', { channel: 'log:a', data: 'lost' });
    await hub.stop();
    await hub.restart();
    assert.deepEqual(await historyOf(hub, 'log:a'), { publications: items(1, 3), offset: 3 });
  });

  test('a start is refused, and it says why', async t => {
    const hub = await startFaultHub(t);
    await publishUpTo(hub, 'log:a', 1, 3);
    await hub.stop();
    const second = startProcess('prlimit', ['--fsize=0:', BIN, 'serve', '--config', configOf(hub)]);
    assert.deepEqual(await second.exited, { code: 1, signal: null });
    assert.match(second.lines.join('\n'), / error storage failed action=.* path=\S+belfry\.sqlite .*error="(database or disk is full|disk I\/O error)"/);
    assert.match(second.lines.join('\n'), / error main not_started /);
    await hub.restart();
    assert.deepEqual(await historyOf(hub, 'log:a'), { publications: items(1, 3), offset: 3 });
  });
});

describe('a file that may not be written', { concurrency: true }, () => {
  /** The files of a hub that ended well, for an ordinary user. */
  async function filesOf(t) {
    const hub = await startFaultHub(t);
    await publishUpTo(hub, 'log:a', 1, 3);
    await hub.stop();
    const user = await ordinaryUser(t);
    const path = join(user.dir, 'belfry.sqlite');
    const file = join(user.dir, 'belfry.json');
    await copyFile(databaseOf(hub), path);
    await writeFile(file, JSON.stringify({ http_server: { port: 0 }, storage: { path } }));
    await user.own();
    return { user, path, start: () => user.belfry(['serve', '--config', file]) };
  }

  async function assertNotStarted(start, pattern) {
    const { code, text } = await start();
    assert.equal(code, 1, text);
    assert.match(text, pattern);
    assert.match(text, / error main not_started /);
  }

  test('a read-only file', async t => {
    const { path, start } = await filesOf(t);
    await chmod(path, 0o400);
    await assertNotStarted(start, / error storage not_writable path=\S+belfry\.sqlite/);
  });

  test('a file of somebody else', async t => {
    const { path, start } = await filesOf(t);
    await chmod(path, 0o000);
    await assertNotStarted(start, / error storage failed action=open .*error="unable to open database file" cause="Permission denied"\n.* open_failed path=\S+belfry\.sqlite/);
  });

  test('a read-only folder', async t => {
    const { user, start } = await filesOf(t);
    await chmod(user.dir, 0o555);
    await assertNotStarted(start, / error storage lock_failed lock=\S+belfry\.sqlite-lock error="Permission denied" expected="storage\.path in a folder that exists and can be written to"/);
    assert.deepEqual((await readdir(user.dir)).sort(), ['belfry.json', 'belfry.sqlite']);
  });
});

describe('a lock of another program', { concurrency: true }, () => {
  test('at the start: refused, and it says so', async t => {
    const hub = await startFaultHub(t);
    await publishUpTo(hub, 'log:a', 1, 3);
    await hub.stop();
    const sql = await openSql(t, databaseOf(hub));
    await sql.run('PRAGMA locking_mode=EXCLUSIVE');
    await sql.run('BEGIN EXCLUSIVE');
    await assertRefused(hub, / error storage failed .*path=\S+belfry\.sqlite .*error="database is locked" cause="another program keeps a lock on the file"/, new RegExp(` error storage open_failed path=${databaseOf(hub)} `));
    await sql.close();
    await hub.restart();
    assert.deepEqual(await historyOf(hub, 'log:a'), { publications: items(1, 3), offset: 3 });
  });

  test('while running, for long: publishers get an error, reading goes on; afterwards all goes on', async t => {
    const hub = await startFaultHub(t);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'log:a' });
    const { epoch } = await publishUpTo(hub, 'log:a', 1, 3);
    for (const offset of [1, 2, 3]) assert.equal((await session.nextPush()).pub.offset, offset);
    const sql = await openSql(t, databaseOf(hub));
    await sql.run('BEGIN IMMEDIATE');
    const answers = [assertError(hub, 'publish', { channel: 'log:a', data: 'lost' }), assertError(hub, 'publish', { channel: 'log:a', data: 'lost' })];
    assert.deepEqual(await historyOf(hub, 'log:a'), { publications: items(1, 3), offset: 3 });
    const other = await openSession(t, hub);
    assert.deepEqual((await other.ok('subscribe', { channel: 'log:a', recover: true, epoch, offset: 2 })).publications, items(3, 3));
    await Promise.all(answers);
    await hub.waitForLine(line => / error storage failed action=write .*error="database is locked"/.test(line));
    await sql.run('ROLLBACK');
    await publishUpTo(hub, 'log:a', 4, 5);
    assert.deepEqual((await session.nextPush()).pub, { data: 4, offset: 4 });
  });

  test('while running, for a moment: publishers wait', async t => {
    const hub = await startFaultHub(t);
    const sql = await openSql(t, databaseOf(hub));
    await sql.run('BEGIN IMMEDIATE');
    const answers = numbers(1, 5).map(data => hub.call('publish', { channel: 'log:a', data }));
    await hub.call('info');
    await sql.run('COMMIT');
    assert.deepEqual((await Promise.all(answers)).map(({ offset }) => offset).sort(), numbers(1, 5));
  });
});

describe('a file that is not what it should be', { concurrency: true }, () => {
  async function stoppedHub(t, size = 10) {
    const hub = await startFaultHub(t);
    for (const i of numbers(1, 100)) await hub.call('publish', { channel: 'log:a', data: `${i} ${'x'.repeat(size)}` });
    await publishUpTo(hub, 'log:b', 1, 3);
    await hub.stop();
    return hub;
  }

  async function assertUntouched(hub, action) {
    const before = await readFile(databaseOf(hub));
    await action();
    assert.ok(before.equals(await readFile(databaseOf(hub))), 'the file was not touched');
  }

  test('no database', async t => {
    const hub = await stoppedHub(t);
    await writeFile(databaseOf(hub), 'Dear diary, this is no database. '.repeat(100));
    await assertUntouched(hub, () => assertRefused(hub, / error="file is not a database"/, / open_failed path=\S+belfry\.sqlite status=corrupt/));
  });

  test('of another program', async t => {
    const hub = await stoppedHub(t);
    await rm(databaseOf(hub));
    await writeFile(databaseOf(hub), '');
    await runSql(t, databaseOf(hub), 'CREATE TABLE theirs(a)');
    await assertUntouched(hub, () => assertRefused(hub, / error storage foreign_database path=\S+belfry\.sqlite application_id=0 expected=/, / open_failed path=\S+belfry\.sqlite /));
  });

  test('of a newer Belfry', async t => {
    const hub = await stoppedHub(t);
    await runSql(t, databaseOf(hub), 'PRAGMA user_version=99');
    await assertUntouched(hub, () => assertRefused(hub, / error storage made_by_newer_program path=\S+belfry\.sqlite version=99 newest_known_version=\d+/, / open_failed path=\S+belfry\.sqlite status=version/));
  });

  test('cut short', async t => {
    const hub = await stoppedHub(t, 2000);
    await truncate(databaseOf(hub), Math.floor((await stat(databaseOf(hub))).size / 2));
    await assertUntouched(hub, () => assertRefused(hub, / error="database disk image is malformed"/, / open_failed path=\S+belfry\.sqlite status=corrupt/));
  });

  /** Overwrites the page that holds the text, from the page's start or from the text on. */
  async function damage(hub, text, { from }) {
    const content = await readFile(databaseOf(hub));
    const at = content.indexOf(text);
    assert.ok(at > 0);
    const page = at - (at % 4096);
    content.fill(0xa5, from === 'page' ? page : at, page + 4096);
    await writeFile(databaseOf(hub), content);
  }

  const damages = {
    'a page of rows': { size: 500, from: 'page' },
    'a page that only has the rest of a long text': { size: 12_000, from: 'text' },
  };
  for (const [what, { size, from }] of Object.entries(damages)) {
    test(`with damage in ${what}: errors instead of garbage, the rest goes on`, async t => {
      const hub = await startFaultHub(t);
      const text = i => `${'x'.repeat(size)} end of ${i}`;
      let epoch;
      for (const i of numbers(1, 100)) ({ epoch } = await hub.call('publish', { channel: 'log:a', data: text(i) }));
      await publishUpTo(hub, 'log:b', 1, 3);
      await hub.stop();
      await damage(hub, 'end of 50', { from });
      await hub.restart();
      await assertError(hub, 'history', { channel: 'log:a', limit: -1 });
      await assertError(hub, 'history', { channel: 'log:a', limit: -1, reverse: true });
      const session = await openSession(t, hub);
      assert.deepEqual(await session.error('subscribe', { channel: 'log:a', recover: true, epoch, offset: 2 }), { ...INTERNAL, temporary: true });
      await hub.waitForLine(line => / error storage damaged channel=log:a offset=(49|50) .*belfry checkdb/.test(line));
      const { publications } = await hub.call('history', { channel: 'log:a', limit: 10 });
      assert.deepEqual(publications, numbers(1, 10).map(i => ({ data: text(i), offset: i })), 'what is whole can be read');
      assert.deepEqual(await historyOf(hub, 'log:b'), { publications: items(1, 3), offset: 3 });
      await publishUpTo(hub, 'log:b', 4, 4);
      const { code, out } = await belfry(['checkdb', '--config', configOf(hub)]);
      assert.equal(code, 1);
      assert.match(out, /channel "log:a": /);
      assert.doesNotMatch(out, /channel "log:b": /);
    });
  }
});

describe('a write-ahead log that lost something', { concurrency: true }, () => {
  const losses = {
    'it was removed': hub => rm(logOf(hub)),
    'it was cut': async hub => truncate(logOf(hub), Math.floor((await stat(logOf(hub))).size / 2)),
    'its end was cut': async hub => truncate(logOf(hub), (await stat(logOf(hub))).size - 1),
    'it was overwritten': async hub => writeFile(logOf(hub), Buffer.alloc((await stat(logOf(hub))).size, 0xa5)),
    'an older file was put back': async (hub, older) => {
      await rm(logOf(hub));
      await copyFile(older, databaseOf(hub));
    },
  };
  for (const [what, lose] of Object.entries(losses)) {
    test(`${what}: clients are told, and get nothing wrong`, async t => {
      const hub = await startFaultHub(t);
      await publishUpTo(hub, 'log:a', 1, 10);
      await hub.stop();
      const older = join(await temporaryFolder(t), 'older.sqlite');
      await copyFile(databaseOf(hub), older);
      await hub.restart();
      const { epoch } = await publishUpTo(hub, 'log:a', 11, 30);
      await hub.kill9();
      await lose(hub, older);
      await hub.restart();
      const line = hub.lines.find(text => / storage commits_missing /.test(text));
      assert.match(line ?? hub.lines.join('\n'), /write-ahead log/);

      for (const offset of [5, 10, 20, 30]) {
        const session = await openSession(t, hub);
        const result = await session.ok('subscribe', { channel: 'log:a', recover: true, epoch, offset });
        assert.notEqual(result.epoch, epoch);
        assert.ok(!result.recovered);
        assert.equal(result.publications, undefined);
      }
      const { publications, ...position } = await hub.call('history', { channel: 'log:a', limit: -1 });
      assert.deepEqual(publications, items(1, position.offset), 'what is there is whole');
      assert.notEqual(position.epoch, epoch);
      await publishUpTo(hub, 'log:a', position.offset + 1, position.offset + 1);
      await assertSound(hub);
      await hub.stop();
      await hub.restart();
      assert.equal((await hub.call('history', { channel: 'log:a' })).epoch, position.epoch, 'only once');
    });
  }

  test('a kill without a loss changes nothing', async t => {
    const hub = await startFaultHub(t);
    const { epoch } = await publishUpTo(hub, 'log:a', 1, 30);
    await hub.kill9();
    await hub.restart();
    assert.equal((await hub.call('history', { channel: 'log:a' })).epoch, epoch);
    assert.ok(!hub.lines.some(text => /commits_missing/.test(text)));
  });
});
