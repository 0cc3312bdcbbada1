// POST /hooks/feeds/NAME: somebody who can sign says that a feed's upstreams have changed.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';

import { openEvents } from './lib/events.mjs';
import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';
import { secondsFromNow } from './lib/token.mjs';

const HOOK_SECRET = "a hook's secret";
const namespaces = [{ name: 'kept', history_size: 10, history_ttl: '1h' }];

const hmac = (text, secret = HOOK_SECRET) => createHmac('sha256', secret).update(text).digest('hex');
const signed = (body, { at = secondsFromNow(0), secret } = {}) => ({ 'x-belfry-signature': `t=${at},v1=${hmac(`${at}.${body}`, secret)}` });
const signedAsGitHub = (body, secret) => ({ 'x-hub-signature-256': `sha256=${hmac(body, secret)}` });

async function startHookHub(t, more = {}) {
  const gate = await startGate(t);
  const feeds = [
    { name: 'city', channel: 'kept:{city}', params: { city: '[a-z]{2,20}' }, timeout: '60s', access: 'public', hook_secret: HOOK_SECRET, upstreams: [{ name: 'one', url: `${gate.url}/{city}` }], ...more },
    { name: 'open', channel: 'kept:open', upstreams: [{ name: 'one', url: `${gate.url}/open` }] },
  ];
  const hub = await startHub(t, { config: { client: { insecure: true }, channel: { namespaces }, feeds } });
  const post = (body, headers, name = 'city') => hub.request('POST', `/hooks/feeds/${name}`, { body, headers });
  return { gate, hub, post };
}

const BILBAO = '{"params":{"city":"bilbao"}}';

async function assertRefused(answer, status, code, message) {
  const { status: got, text, json } = await answer;
  assert.equal(got, status, text);
  assert.equal(json.error.code, code);
  assert.match(json.error.message, message);
}

describe('a hook', { concurrency: true }, () => {
  test('refreshes what its parameters say, and the change is pushed', async t => {
    const { gate, hub, post } = await startHookHub(t);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'kept:bilbao' });
    for (const [headers, value] of [[signed(BILBAO), 1], [signedAsGitHub(BILBAO), 2]]) {
      const { status, text } = await post(BILBAO, headers);
      assert.deepEqual([status, text], [202, '{}']);
      const held = await gate.next();
      assert.equal(held.url, '/bilbao');
      held.answer(String(value));
      assert.deepEqual((await session.nextPush()).pub.data, { one: value });
    }
    assert.equal(gate.n, 2);
  });

  for (const body of ['', '{}', '{"zen":"words of the sender"}']) {
    test(`${JSON.stringify(body)}: all that are watched`, async t => {
      const { gate, hub, post } = await startHookHub(t, { refresh: { every: '1h' } });
      const readers = [];
      for (const city of ['bilbao', 'getxo']) {
        const events = openEvents(t, hub, `/feeds/city?city=${city}`);
        (await gate.next()).answer('1');
        readers.push(await events);
        assert.deepEqual((await readers.at(-1).next()).data, { one: 1 });
      }
      assert.equal((await post(body, signed(body))).status, 202);
      const urls = [];
      for (let i = 0; i < 2; i += 1) {
        const held = await gate.next();
        urls.push(held.url);
        held.answer('2');
      }
      assert.deepEqual(urls.sort(), ['/bilbao', '/getxo']);
      for (const reader of readers) assert.deepEqual((await reader.next()).data, { one: 2 });
      assert.equal(gate.n, 4);
    });
  }

  test('nobody watches: nothing is asked until somebody comes, who finds it too old', async t => {
    const { gate, hub, post } = await startHookHub(t);
    const page = () => hub.request('GET', '/feeds/city?city=bilbao');
    const first = page();
    (await gate.next()).answer('1');
    assert.equal((await first).text, '{"one":1}');
    assert.equal((await page()).text, '{"one":1}');
    for (const body of ['', BILBAO]) assert.equal((await post(body, signed(body))).status, 202);
    assert.equal((await hub.call('feeds')).feeds[0].state.refreshes, 1);
    assert.equal(gate.n, 1);
    assert.equal((await page()).text, '{"one":1}');
    (await gate.next()).answer('2');
  });

  test('told during a run, once or often: one more run after it', async t => {
    const { gate, hub, post } = await startHookHub(t);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'kept:bilbao' });
    await post(BILBAO, signed(BILBAO));
    const first = await gate.next();
    for (let i = 0; i < 3; i += 1) assert.equal((await post(BILBAO, signed(BILBAO))).status, 202);
    assert.equal(gate.n, 1);
    first.answer('1');
    (await gate.next()).answer('2');
    assert.deepEqual((await session.nextPush()).pub.data, { one: 1 });
    assert.deepEqual((await session.nextPush()).pub.data, { one: 2 });
    const last = hub.call('feed_refresh', { feed: 'city', params: { city: 'bilbao' } });
    (await gate.next()).answer('3');
    await last;
    assert.equal(gate.n, 3);
  });

  test('what is not signed well is refused, and nothing is asked', async t => {
    const { gate, hub, post } = await startHookHub(t);
    const now = secondsFromNow(0);
    const refused = [
      [{}, /expected X-Belfry-Signature/],
      [{ 'x-api-key': hub.key }, /expected X-Belfry-Signature/],
      [{ 'x-belfry-signature': 'x' }, /expected X-Belfry-Signature/],
      [{ 'x-belfry-signature': `v1=${hmac(BILBAO)}` }, /expected X-Belfry-Signature/],
      [{ 'x-hub-signature-256': hmac(BILBAO) }, /expected X-Belfry-Signature/],
      [{ 'x-hub-signature-256': `sha256=${hmac(BILBAO).slice(1)}` }, /expected X-Belfry-Signature/],
      [{ 'x-hub-signature': `sha1=${'0'.repeat(40)}` }, /expected X-Belfry-Signature/],
      [signed(BILBAO, { secret: 'another' }), /not that of this body/],
      [signed('{}'), /not that of this body/],
      [signedAsGitHub(BILBAO, 'another'), /not that of this body/],
      [signedAsGitHub('{}'), /not that of this body/],
      [{ 'x-belfry-signature': `t=${now + 1},v1=${hmac(`${now}.${BILBAO}`)}` }, /not that of this body/],
      [signed(BILBAO, { at: now - 310 }), /more than 300 s/],
      [signed(BILBAO, { at: now + 310 }), /more than 300 s/],
    ];
    for (const [headers, message] of refused) await assertRefused(post(BILBAO, headers), 401, 101, message);
    assert.equal(gate.n, 0);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'kept:bilbao' });
    assert.equal((await post(BILBAO, signed(BILBAO, { at: now - 250 }))).status, 202);
    assert.equal((await gate.next()).url, '/bilbao');
  });

  test('a feed without a secret has none: 404, whatever the signature', async t => {
    const { gate, post } = await startHookHub(t);
    for (const name of ['open', 'nothing', '']) {
      for (const headers of [{}, signed('{}'), signed('{}', { secret: '' })]) await assertRefused(post('{}', headers, name), 404, 102, /no feed of this name has a hook_secret/);
    }
    assert.equal(gate.n, 0);
  });

  test('what is signed but wrong is refused in words', async t => {
    const { gate, post } = await startHookHub(t);
    const wrong = {
      'no json': /the body: expected a JSON object/,
      '[]': /the body: expected a JSON object/,
      '{"params":["bilbao"]}': /params: expected an object/,
      '{"params":{}}': /params\.city is missing/,
      '{"params":{"city":"B"}}': /params\.city: .*does not match/,
      '{"params":{"city":"bilbao","town":"x"}}': /params\.town/,
    };
    for (const [body, message] of Object.entries(wrong)) await assertRefused(post(body, signed(body)), 400, 107, message);
    assert.equal(gate.n, 0);
  });

  test('other methods: 405; more than 64 KiB: 413', async t => {
    const { hub, post } = await startHookHub(t);
    const { status, headers } = await hub.request('GET', '/hooks/feeds/city');
    assert.deepEqual([status, headers.allow], [405, 'POST']);
    const body = JSON.stringify({ text: 'x'.repeat(65536) });
    const answer = await post(body, signed(body));
    assert.deepEqual([answer.status, answer.text], [413, 'the body is larger than 64 KiB\n']);
    const fits = JSON.stringify({ text: 'x'.repeat(65536 - 11) });
    assert.equal((await post(fits, signed(fits))).status, 202);
  });
});
