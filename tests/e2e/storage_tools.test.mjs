// What an operator does with the database file: checkdb and backup, with the hub running and without.
import assert from 'node:assert/strict';
import { chmod, copyFile, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { belfry, temporaryFolder } from './lib/command.mjs';
import { startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';
import { runSql } from './lib/sql.mjs';
import { startUpstream } from './lib/upstream.mjs';
import { ordinaryUser } from './lib/user.mjs';

const log = { name: 'log', history_size: 100, history_ttl: '1h', force_recovery: true };
const config = { client: { insecure: true }, channel: { namespaces: [log] } };

const configOf = hub => join(hub.dir, 'belfry.json');
const databaseOf = hub => join(hub.dir, 'belfry.sqlite');
const checkdb = hub => belfry(['checkdb', '--config', configOf(hub)]);
const backup = (hub, to) => belfry(['backup', '--config', configOf(hub), '--to', to]);

/** A folder with a configuration for that database. */
async function folderFor(t, storage) {
  const dir = await temporaryFolder(t);
  const file = join(dir, 'config.json');
  await writeFile(file, JSON.stringify({ storage }));
  return { dir, file };
}

async function publishUpTo(hub, channel, first, last) {
  let position;
  for (let i = first; i <= last; i += 1) position = await hub.call('publish', { channel, data: { n: i } });
  assert.equal(position.offset, last);
  return position;
}

describe('checkdb', { concurrency: true }, () => {
  test('finds nothing wrong while a hub runs, after it was killed, after an orderly end', async t => {
    const upstream = await startUpstream(t);
    const feeds = [{ name: 'feed', channel: 'log:feed', runs_size: 0, upstreams: [{ name: 'one', url: `${upstream.url}/json` }] }];
    const hub = await startHub(t, { config: { ...config, feeds } });
    const out = `${databaseOf(hub)}: ok, 2 streams, 101 publications, 1 feed\n`; // history_size is 100
    const expected = { code: 0, out, text: out };
    await publishUpTo(hub, 'log:a', 1, 110);
    await hub.api('feed_refresh', { feed: 'feed' });
    assert.deepEqual(await checkdb(hub), expected);
    await hub.kill9();
    assert.deepEqual(await checkdb(hub), expected);
    await hub.restart();
    await publishUpTo(hub, 'log:a', 111, 120);
    await hub.stop();
    const files = await readdir(hub.dir);
    const content = await readFile(databaseOf(hub));
    assert.deepEqual(await checkdb(hub), expected);
    assert.deepEqual(await readdir(hub.dir), files, 'it leaves nothing behind');
    assert.ok(content.equals(await readFile(databaseOf(hub))), 'it writes nothing');
  });

  test('names channel and offset of what is wrong, and ends with 1', async t => {
    const hub = await startHub(t, { config });
    await publishUpTo(hub, 'log:a', 1, 10);
    await publishUpTo(hub, 'log:b', 1, 3);
    await hub.stop();
    await runSql(t, databaseOf(hub), 'DELETE FROM publications WHERE offset IN (4, 5, 8)', "UPDATE publications SET data='{' WHERE offset=3");
    const { code, out } = await checkdb(hub);
    assert.equal(code, 1);
    assert.deepEqual(out.trim().split('\n').sort(), [
      'channel "log:a": data of offset 3 is not JSON: at byte 1 a name in quotes or } was expected',
      'channel "log:a": the publication with offset 8 is missing',
      'channel "log:a": the publications with offsets 4 to 5 are missing',
      'channel "log:b": data of offset 3 is not JSON: at byte 1 a name in quotes or } was expected',
      `${databaseOf(hub)}: 4 problems`,
    ].sort());
  });

  test('counts the runs of feeds, and says which one is damaged', async t => {
    const hub = await startHub(t, { config });
    await hub.stop();
    const keep = text => runSql(t, databaseOf(hub), `INSERT INTO feed_runs(feed, params, time_ms, duration_us, text, expire_ms) VALUES('weather', '{}', 1, 1, '${text}', 9e18)`);
    await keep('{}');
    const out = `${databaseOf(hub)}: ok, 0 streams, 0 publications, 0 feeds, 1 run\n`;
    assert.deepEqual(await checkdb(hub), { code: 0, out, text: out });
    await keep('{');
    const damaged = await checkdb(hub);
    assert.equal(damaged.code, 1);
    assert.deepEqual(damaged.out.trim().split('\n'), [
      'feed "weather" with parameters "{}": the text of run 2 is not JSON: at byte 1 a name in quotes or } was expected',
      `${databaseOf(hub)}: 1 problem`,
    ]);
  });
});

describe('backup', { concurrency: true }, () => {
  /** A hub on a copy of its own. */
  async function hubOnCopy(t, hub, to) {
    const dir = await temporaryFolder(t);
    await copyFile(to, join(dir, 'belfry.sqlite'));
    return startHub(t, { dir, config });
  }

  test('of a hub under load is consistent, and a hub that opens it begins new epochs', async t => {
    const hub = await startHub(t, { config });
    const { epoch } = await publishUpTo(hub, 'log:a', 1, 50);
    let isOver = false;
    const publisher = async () => {
      while (!isOver) await hub.call('publish', { channel: 'log:a', data: 'load' });
    };
    const publishers = [publisher(), publisher(), publisher()];
    const to = join(hub.dir, 'copy.sqlite');
    const { code, text } = await backup(hub, to).finally(() => { isOver = true; });
    await Promise.all(publishers);
    assert.deepEqual({ code, text }, { code: 0, text: `${databaseOf(hub)}: copied to ${to}, ${(await stat(to)).size} bytes\n` });
    assert.equal((await stat(to)).mode & 0o777, 0o640);
    assert.deepEqual((await readdir(hub.dir)).filter(name => name.startsWith('copy')), ['copy.sqlite']);
    const { offset: top, epoch: sameEpoch } = await hub.call('history', { channel: 'log:a' });
    assert.equal(sameEpoch, epoch, 'the hub was not disturbed');

    const other = await hubOnCopy(t, hub, to);
    const session = await openSession(t, other);
    const context = await session.ok('subscribe', { channel: 'log:a', recover: true, epoch, offset: top });
    assert.notEqual(context.epoch, epoch);
    assert.ok(!context.recovered);
    const { publications, ...position } = await other.call('history', { channel: 'log:a', limit: -1 });
    assert.equal(position.epoch, context.epoch);
    assert.deepEqual(publications.map(({ offset }) => offset), Array.from(publications, (_, i) => position.offset - publications.length + 1 + i));
    await other.call('publish', { channel: 'log:a', data: 'on the copy' });
    assert.equal((await session.nextPush()).pub.data, 'on the copy');
    assert.equal((await checkdb(other)).code, 0);
    await other.stop();
    await other.restart();
    assert.equal((await other.call('history', { channel: 'log:a' })).epoch, context.epoch, 'only once');
  });

  test('never overwrites, and replaces what an interrupted one has left', async t => {
    const hub = await startHub(t, { config });
    await publishUpTo(hub, 'log:a', 1, 1);
    const to = join(hub.dir, 'copy.sqlite');
    await writeFile(to, 'precious');
    assert.deepEqual(await backup(hub, to), { code: 1, out: '', text: `${to}: there is a file already; it is left as it is\n` });
    assert.equal(await readFile(to, 'utf8'), 'precious');
    await rm(to);
    await writeFile(`${to}.partial`, 'half a copy');
    assert.equal((await backup(hub, to)).code, 0);
    assert.deepEqual((await readdir(hub.dir)).filter(name => name.startsWith('copy')), ['copy.sqlite']);
  });

  test('several at a time to the same place do no harm', async t => {
    const hub = await startHub(t, { config });
    await publishUpTo(hub, 'log:a', 1, 50);
    const to = join(hub.dir, 'copy.sqlite');
    for (let i = 0; i < 5; i += 1) {
      const runs = await Promise.all([1, 2, 3, 4].map(() => backup(hub, to)));
      assert.ok(runs.filter(({ code }) => code === 0).length <= 1, runs.map(({ text }) => text).join(''));
      if (runs.every(({ code }) => code === 1)) assert.equal((await backup(hub, to)).code, 0);
      const dir = await temporaryFolder(t);
      await writeFile(join(dir, 'config.json'), JSON.stringify({ storage: { path: to } }));
      const { text } = await belfry(['checkdb', '--config', join(dir, 'config.json')]);
      assert.equal(text, `${to}: ok, 1 stream, 50 publications, 0 feeds\n`);
      assert.equal(await runSql(t, to, 'SELECT is_copy FROM marks'), '1');
      await rm(to);
    }
  });

  test('says where it could not write', async t => {
    const hub = await startHub(t, { config });
    const to = join(hub.dir, 'missing/copy.sqlite');
    const { code, text } = await backup(hub, to);
    assert.equal(code, 1);
    assert.match(text, / error storage backup_failed action=create path=\S+missing\/copy\.sqlite\.partial error="No such file or directory"/);
    await hub.call('info');
  });

  test('of a file in which a text is damaged fails, too', async t => {
    const hub = await startHub(t, { config });
    await publishUpTo(hub, 'log:a', 1, 3);
    await hub.stop();
    await runSql(t, databaseOf(hub), `UPDATE publications SET data='}' WHERE offset=2`);
    const { code, text } = await backup(hub, join(hub.dir, 'copy.sqlite'));
    assert.equal(code, 1);
    assert.match(text, / error storage damaged finding="channel \\?"log:a\\?": data of offset 2 is not JSON.*\n.*not copied: .* it is damaged\n$/);
    assert.deepEqual((await readdir(hub.dir)).filter(name => name.startsWith('copy')), []);
  });

  test('put back beside the log of another file is refused until that is removed', async t => {
    const hub = await startHub(t, { config });
    const copy = join(hub.dir, 'copy.sqlite');
    await publishUpTo(hub, 'log:a', 1, 3);
    assert.equal((await backup(hub, copy)).code, 0);
    const before = await publishUpTo(hub, 'log:a', 4, 9);
    await hub.kill9();
    await copyFile(copy, databaseOf(hub));
    const { code, text } = await belfry(['--config', configOf(hub)]);
    assert.equal(code, 1);
    assert.match(text, / error storage strange_log path=\S+belfry\.sqlite error="[^"]+" expected="[^"]*remove its -wal and -shm"/);
    for (const end of ['-wal', '-shm']) await rm(`${databaseOf(hub)}${end}`);
    await hub.restart();
    const { offset, epoch } = await hub.call('history', { channel: 'log:a' });
    assert.equal(offset, 3);
    assert.notEqual(epoch, before.epoch);
    await publishUpTo(hub, 'log:a', 4, 5);
    await hub.kill9();
    await hub.restart(); /* it is a file like any other now */
    assert.deepEqual(await hub.call('history', { channel: 'log:a' }), { publications: [], offset: 5, epoch });
  });

  test('of a damaged file fails instead of copying the damage', async t => {
    const hub = await startHub(t, { config });
    for (let i = 0; i < 100; i += 1) await hub.call('publish', { channel: 'log:a', data: 'x'.repeat(2000) });
    await hub.stop();
    const content = await readFile(databaseOf(hub));
    content.fill(0xa5, 4096 * 20, 4096 * 40);
    await writeFile(databaseOf(hub), content);
    const { code, text } = await backup(hub, join(hub.dir, 'copy.sqlite'));
    assert.equal(code, 1);
    assert.match(text, / error storage damaged finding=/);
    assert.deepEqual((await readdir(hub.dir)).filter(name => name.startsWith('copy')), []);
    assert.equal((await checkdb(hub)).code, 1);
  });
});

describe('both', { concurrency: true }, () => {
  const tools = { checkdb: [], backup: ['--to', 'copy.sqlite'] };
  for (const [command, more] of Object.entries(tools)) {
    const run = (dir, file) => belfry([command, '--config', file, ...more], { cwd: dir });

    test(`${command}: there is no file with durability memory`, async t => {
      const { dir, file } = await folderFor(t, { durability: 'memory' });
      assert.deepEqual(await run(dir, file), { code: 1, out: '', text: 'there is no database file: storage.durability is "memory"\n' });
      assert.deepEqual(await readdir(dir), ['config.json']);
    });

    test(`${command}: a missing, foreign or newer file is refused and left alone`, async t => {
      const { dir, file } = await folderFor(t, { path: 'x.sqlite' });
      const path = join(dir, 'x.sqlite');
      const cases = [
        [null, /^x\.sqlite: not \w+: there is no such file \(storage\.path\)\n$/],
        ['Dear diary, this is no database. '.repeat(50), / error="file is not a database".*\nx\.sqlite: not \w+: this is no database of Belfry's, or it is damaged\n$/],
      ];
      for (const [content, pattern] of cases) {
        if (content) await writeFile(path, content);
        const { code, text } = await run(dir, file);
        assert.equal(code, 1);
        assert.match(text, pattern);
      }
      await writeFile(path, '');
      await runSql(t, path, 'CREATE TABLE theirs(a)');
      assert.match((await run(dir, file)).text, / foreign_database path=x\.sqlite application_id=0\nx\.sqlite: not \w+: this is no database of Belfry's/);
      await runSql(t, path, 'PRAGMA application_id=1112295001', 'PRAGMA user_version=99');
      assert.match((await run(dir, file)).text, /^x\.sqlite: not \w+: it was made by a newer Belfry/);
      assert.equal(await runSql(t, path, 'SELECT count(*) FROM theirs'), '0');
      assert.deepEqual((await readdir(dir)).sort(), ['config.json', 'x.sqlite']);
    });

    test(`${command}: a file that may not be read is refused`, async t => {
      const user = await ordinaryUser(t);
      const path = join(user.dir, 'x.sqlite');
      const file = join(user.dir, 'config.json');
      await writeFile(file, JSON.stringify({ storage: { path } }));
      await writeFile(path, '');
      await user.own();
      await chmod(path, 0o000);
      const { code, text } = await user.belfry([command, '--config', file, ...more]);
      assert.equal(code, 1);
      assert.match(text, / error storage not_readable path=\S+x\.sqlite error="Permission denied"\n/);
    });
  }

  test('2 for wrong usage', async () => {
    const cases = [
      [['checkdb'], /--config FILE is missing/],
      [['backup', '--to', 'x'], /--config FILE is missing/],
      [['backup', '--config', 'x'], /--to FILE is missing/],
      [['checkdb', '--config', 'x', '--to', 'y'], /"--to" is not one of its options/],
      [['serve', '--config', 'x', '--to', 'y'], /"--to" is not one of its options/],
    ];
    for (const [args, pattern] of cases) {
      const { code, out, text } = await belfry(args);
      assert.equal(code, 2, args.join(' '));
      assert.equal(out, '');
      assert.match(text, pattern);
    }
    const { out } = await belfry(['backup', '--help']);
    for (const word of ['usage: belfry backup', '--config FILE', '--to FILE']) assert.ok(out.includes(word), out);
    const { out: all } = await belfry(['--help']);
    for (const word of ['checkdb', 'backup']) assert.ok(all.includes(word), all);
  });
});
