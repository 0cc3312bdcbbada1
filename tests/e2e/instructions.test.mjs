// How many instructions the hub's loop spends on what it does most: counted with callgrind, because seconds
// say nothing on a shared machine and counts repeat. Each figure of instructions.json is what was measured
// when it was set; a count more than ROOM above it fails.
//
//   broadcast   per delivered message: a publication of 64 bytes to 200 subscribers, without what it costs
//               with none. User space only: the kernel's send() comes on top, and is most of the time.
//   publish     per POST /api/publish to a channel without history and subscribers, on an open connection
//   large       the same with 16 KB: what the hub does with every byte
//   connect     per client: connection, handshake, connect and subscribe
//   idle        per ping of a subscribed client and its answer, with a share of the timer's turns
//
// After a deliberate change, or one that made a path cheaper, the file is written anew, with what is measured:
//   BELFRY_INSTRUCTIONS=set BELFRY_BIN=.../build/release/belfry node --test instructions.test.mjs
// BELFRY_INSTRUCTIONS=print compares nothing. Where the instructions go:
//   BELFRY_PROFILES=/tmp/profiles BELFRY_BIN=... node --test instructions.test.mjs
//   callgrind_annotate --inclusive=yes /tmp/profiles/callgrind.broadcast
//
// The counts include the libraries: they are compared only on the platform that the file names, else printed.
// Only the release build is counted: see CMakeLists.txt.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

import { joinCrowd } from './lib/crowd.mjs';
import { platform, startCounted } from './lib/instructions.mjs';

const FILE = fileURLToPath(new URL('instructions.json', import.meta.url));
const ROOM = 0.15;
const MODE = process.env.BELFRY_INSTRUCTIONS ?? 'compare';
assert.ok(['compare', 'print', 'set'].includes(MODE), `BELFRY_INSTRUCTIONS is print or set, not ${MODE}`);
const SUBSCRIBERS = 200;
const PUBLICATIONS = 50;
const IDLE_CLIENTS = 400;
const ROUNDS_OF_PINGS = 2;

const meanings = {
  broadcast: 'instructions per message that is delivered to one of many subscribers',
  publish: 'instructions per POST /api/publish to a channel that nobody listens to',
  large: 'instructions per POST /api/publish of 16 KB to a channel that nobody listens to',
  connect: 'instructions per client that connects and subscribes',
  idle: 'instructions per ping of an idle client and its answer',
};

const small = 'x'.repeat(62); // 64 bytes of JSON
const large = 'x'.repeat(16382);
const measured = {};

function limitOf(reference, name) {
  const figure = reference.measured[name];
  assert.ok(figure > 0, `instructions.json has no figure "${name}": BELFRY_INSTRUCTIONS=set writes it`);
  return Math.round(figure * (1 + ROOM));
}

function tooMany(name, limit, reference) {
  return [
    `${name}: ${measured[name]} ${meanings[name]}, more than the limit of ${limit}`,
    `(${ROOM * 100} % above the ${reference.measured[name]} of tests/e2e/instructions.json).`,
    'Something made this path dearer. Where the instructions go:',
    `  BELFRY_PROFILES=/tmp/profiles BELFRY_BIN=${process.env.BELFRY_BIN ?? 'build/release/belfry'} node --test tests/e2e/instructions.test.mjs`,
    `  callgrind_annotate --inclusive=yes /tmp/profiles/callgrind.${name}`,
    'If it has to be, BELFRY_INSTRUCTIONS=set writes the file anew: see the head of the test.',
  ].join('\n');
}

async function compare(t, name, figure) {
  measured[name] = Math.round(figure);
  t.diagnostic(`${name}: ${measured[name]} ${meanings[name]}`);
  assert.ok(figure > 50, `${name}: ${figure} cannot be: nothing was counted`);
  if (MODE !== 'compare') return;
  const reference = JSON.parse(await readFile(FILE, 'utf8'));
  if (reference.platform !== platform()) {
    t.diagnostic(`not compared: this is ${platform()}, the figures of instructions.json are from ${reference.platform}`);
    return;
  }
  const limit = limitOf(reference, name);
  assert.ok(figure <= limit, tooMany(name, limit, reference));
}

test('connecting, publishing and delivering', async t => {
  // No ping comes between.
  const counted = await startCounted(t, { client: { insecure: true, ping_interval: '2h', pong_timeout: '1h' } });
  const crowd = joinCrowd(counted.hub, 'crowd');
  const publish = (channel, data = small) => counted.post('publish', { channel, data });
  await crowd.grow(10); // pools and tables have their first growth behind them
  await publish('crowd');
  await publish('nobody', large);

  const connects = await counted.count('connect', () => crowd.grow(SUBSCRIBERS - 10));
  await publish('crowd');
  const publishes = await counted.count('publish', async () => {
    for (let i = 0; i < PUBLICATIONS; i += 1) await publish('nobody');
  });
  const larges = await counted.count('large', async () => {
    for (let i = 0; i < PUBLICATIONS; i += 1) await publish('nobody', large);
  });
  const broadcasts = await counted.count('broadcast', async () => {
    for (let i = 0; i < PUBLICATIONS; i += 1) {
      const delivered = crowd.publicationsReach(crowd.nPublications + SUBSCRIBERS);
      await publish('crowd');
      await delivered;
    }
  });

  await t.test('a client that connects and subscribes', sub => compare(sub, 'connect', connects / (SUBSCRIBERS - 10)));
  await t.test('a publish', sub => compare(sub, 'publish', publishes / PUBLICATIONS));
  await t.test('a large publish', sub => compare(sub, 'large', larges / PUBLICATIONS));
  await t.test('a delivered message', sub => compare(sub, 'broadcast', (broadcasts - publishes) / PUBLICATIONS / SUBSCRIBERS));
});

test('an idle client', async t => {
  // Long enough that no pong is too late on a busy machine.
  const counted = await startCounted(t, { client: { insecure: true, ping_interval: '4s', pong_timeout: '3900ms' } });
  const crowd = joinCrowd(counted.hub, 'crowd', { pongsOverMs: 1000 });
  await crowd.grow(IDLE_CLIENTS);
  await crowd.allPinged();
  let nPings;
  const idle = await counted.count('idle', async () => {
    const before = crowd.nPings;
    for (let i = 0; i < ROUNDS_OF_PINGS; i += 1) await crowd.allPinged();
    nPings = crowd.nPings - before;
  });
  await t.test('a ping and its answer', sub => compare(sub, 'idle', idle / nPings));
});

if (MODE === 'set') {
  test('the file is written anew', async () => {
    assert.deepEqual(Object.keys(measured).sort(), Object.keys(meanings).sort());
    await writeFile(FILE, `${JSON.stringify({ platform: platform(), measured }, null, 2)}\n`);
  });
}
