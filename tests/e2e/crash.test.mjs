// The hub is killed with -9 at random moments while many publish and listen: nothing acknowledged is lost, nothing comes twice,
// no offset is given a second time.
//
//   BELFRY_CRASH_KILLS=100            the long form: one run with so many kills
//   BELFRY_CRASH_DURABILITY=full      of the long form; normal otherwise
//   BELFRY_CRASH_SEED=123             the moments of an earlier run; each run tells its seed
import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';

import { belfry } from './lib/command.mjs';
import { findingsOf } from './lib/crash_checks.mjs';
import { newSeed, planOf } from './lib/crash_plan.mjs';
import { startRun } from './lib/crash_run.mjs';
import { startHub } from './lib/hub.mjs';

const kills = Number(process.env.BELFRY_CRASH_KILLS ?? 0);
const durability = process.env.BELFRY_CRASH_DURABILITY ?? 'normal';
const runs = kills > 0 ? [{ durability, kills }] : [{ durability: 'normal', kills: 12 }, { durability: 'full', kills: 12 }];

function assertNothingFound(findings, seed) {
  const kinds = new Map(); // those that differ only in names and numbers
  for (const finding of findings) {
    const kind = finding.match(/\b[a-z]+\b(?![/:"])/g).join(' ');
    kinds.set(kind, [...(kinds.get(kind) ?? []), finding]);
  }
  const shown = [...kinds.values()].flatMap(list => [...list.slice(0, 5), ...(list.length > 5 ? [`... ${list.length - 5} more`] : [])]).slice(0, 60);
  assert.equal(findings.length, 0, `${findings.length} findings with BELFRY_CRASH_SEED=${seed}:\n${shown.join('\n')}`);
}

function summary({ kinds, ...f }) {
  return [
    `${f.kills} kills (${Object.entries(kinds).map(([kind, n]) => `${n} ${kind}`).join(', ')}; ${f.beforeListening} before it listened)`,
    `${f.acknowledged} publications acknowledged`,
    `${f.unanswered} requests unanswered (${f.neverRepeated} without a key, ${f.ofThoseKept} of them kept)`,
    `${f.delivered} delivered`,
    `${f.recoveries} recoveries`,
    `without service: median ${f.outageMedianMs} ms, max ${f.outageMaxMs} ms (${f.outages} times)`,
  ].join(', ');
}

for (const { durability: mode, kills: nKills } of runs) {
  test(`nothing acknowledged is lost in ${nKills} kills with durability ${mode}`, async t => {
    const seed = newSeed();
    t.diagnostic(`BELFRY_CRASH_SEED=${seed}`);
    const run = await startRun(t, { durability: mode });
    await run.killAll(planOf(nKills, seed));
    const checked = await belfry(['checkdb', '--config', run.configFile]);
    assert.equal(checked.code, 0, checked.text);
    await run.finish();
    const figures = run.figures();
    t.diagnostic(`${mode}: ${summary(figures)}`);
    assertNothingFound([...run.findings, ...findingsOf(run.records())], seed);
    assert.equal(figures.kills, nKills);
    assert.ok(figures.unanswered > 0, 'the kills met requests under way');
    assert.ok(figures.recoveries > 0, 'the watchers recovered');
  });
}

test('it starts and serves after kills while it makes its file', async t => {
  const seed = newSeed();
  const hub = await startHub(t, { config: { channel: { without_namespace: { history_size: 10, history_ttl: '1h' } } } });
  await hub.kill9();
  for (const { x } of planOf(10, seed)) {
    for (const name of await readdir(hub.dir)) if (name.startsWith('belfry.sqlite')) await rm(join(hub.dir, name));
    const before = hub.pid;
    const started = hub.restart().catch(error => assert.match(error.message, /signal SIGKILL/));
    while (hub.pid === before) await nextTurn();
    await delay(x * 40);
    await hub.kill9();
    await started;
    await hub.restart();
    assert.equal((await hub.call('publish', { channel: 'c', data: 1 })).offset, 1, `seed ${seed}`);
    await hub.kill9();
  }
});

describe('the checks find', () => {
  /** Two publications of one channel, the second one without a key, and one who saw both. */
  function goodRecords() {
    const publications = [{ offset: 1, id: 'a/1' }, { offset: 2, id: 'b/1' }];
    return {
      history: new Map([['c', { epoch: 'e', top: 2, publications }]]),
      entries: [
        { id: 'a/1', channel: 'c', hasKey: true, offset: 1, epoch: 'e' },
        { id: 'b/1', channel: 'c', hasKey: false, offset: undefined },
      ],
      watchers: [{ seen: new Map([['c', publications.map(one => ({ ...one }))]]), epochs: new Map([['c', 'e']]) }],
    };
  }
  const kept = records => records.history.get('c');
  const seen = records => records.watchers[0].seen.get('c');

  const faults = {
    'one that was acknowledged and is lost': [r => { kept(r).publications.shift(); }, /acknowledged at 1, where there is b/],
    'an end that is lost': [r => { kept(r).publications.pop(); }, /has 1 publications and its top is 2/],
    'a gap': [r => { kept(r).publications[1].offset = 3; }, /has 3 where 2 comes next/],
    'another one at the acknowledged offset': [r => { r.entries[0].offset = 2; }, /acknowledged at 2, where there is b/],
    'one that is there twice': [r => { kept(r).publications[1].id = 'a/1'; }, /has a\/1 twice/],
    'one that nobody sent': [r => { kept(r).publications[1].id = 'x/1'; }, /which nobody sent/],
    'one with a key that was never acknowledged': [r => { r.entries[0].offset = undefined; }, /never acknowledged/],
    'an acknowledgement of another epoch': [r => { r.entries[0].epoch = 'f'; }, /in the epoch f, now it is e/],
    'a watcher in another epoch': [r => { r.watchers[0].epochs.set('c', 'f'); }, /watcher 0 is in the epoch f/],
    'a watcher that missed one': [r => { seen(r).shift(); }, /saw 1 of 2/],
    'a watcher that saw one twice': [r => { seen(r).push({ offset: 2, id: 'b/1' }); }, /as number 3/],
    'a watcher that saw two in another order': [r => { seen(r).reverse(); }, /as number 1/],
    'a watcher that saw what a restart took back': [r => { seen(r)[1].id = 'x/1'; }, /saw x\/1 at 2/],
  };
  for (const [what, [spoil, words]] of Object.entries(faults)) {
    test(what, () => {
      const records = goodRecords();
      assert.deepEqual(findingsOf(records), []);
      spoil(records);
      assert.match(findingsOf(records).join('\n'), words);
    });
  }
});
