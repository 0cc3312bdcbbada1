// How errors of the server API look: in answers, or as the transport's own (http_api.error_mode and the headers).
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { feedOf } from './lib/feed.mjs';
import { startGate } from './lib/gate.mjs';
import { startHub } from './lib/hub.mjs';
import { refusedUrl, startUpstream } from './lib/upstream.mjs';

const NAMESPACES = [{ name: 'log', history_size: 10, history_ttl: '1h' }, { name: 'plain' }, { name: 'live' }];

async function startErrorHub(t, http_api = {}) {
  const gate = await startGate(t);
  const feeds = [
    feedOf({ one: { url: await refusedUrl(t, await startUpstream(t)), on_failure: 'fail' } }, { name: 'failing' }),
    feedOf({ one: { url: gate.url, on_failure: 'fail' } }, { name: 'late', timeout: '50ms' }),
  ];
  const keys = [{ name: 'reader', key: 'the-key-of-the-reader', methods: ['history'] }];
  return startHub(t, { config: { http_api: { keys, ...http_api }, channel: { namespaces: NAMESPACES }, feeds } });
}

const EPOCH = { offset: 1, epoch: 'nope' };
const errors = {
  'an unknown channel': ['publish', { channel: 'nope:a', data: 1 }, 404, 102],
  'an unknown feed': ['feed_get', { feed: 'nope' }, 404, 102],
  'an RPC method that there is not': ['rpc', { method: 'x' }, 404, 104],
  'a bad request': ['publish', { channel: 'log:a' }, 400, 107],
  'history that is off': ['history', { channel: 'plain:a' }, 400, 108],
  'an epoch that is over': ['history', { channel: 'log:a', limit: 1, since: EPOCH }, 416, 112],
};

async function assertBare(hub, method, body, status, code, headers = {}) {
  const answer = await hub.api(method, body, { headers });
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.deepEqual(Object.keys(answer.json), ['code', 'message'], answer.text);
  assert.equal(answer.json.code, code);
}

describe('errors', { concurrency: true }, () => {
  test('have status 200 as a rule', async t => {
    const hub = await startErrorHub(t);
    await hub.call('publish', { channel: 'log:a', data: 1 });
    for (const [what, [method, body, , code]] of Object.entries(errors)) {
      const { status, json, text } = await hub.api(method, body, { headers: { 'X-Centrifugo-Error-Mode': 'other' } });
      assert.equal(status, 200, `${what}: ${text}`);
      assert.deepEqual(Object.keys(json), ['error'], what);
      assert.equal(json.error.code, code, what);
    }
  });

  for (const [how, http_api, headers] of [
    ['http_api.error_mode', { error_mode: 'transport' }, {}],
    ['X-Centrifugo-Error-Mode', {}, { 'X-Centrifugo-Error-Mode': 'transport' }],
    ['X-Belfry-Error-Mode', {}, { 'X-Belfry-Error-Mode': 'transport' }],
  ]) {
    test(`have a status of their own with ${how}`, async t => {
      const hub = await startErrorHub(t, http_api);
      const published = await hub.api('publish', { channel: 'log:a', data: 1 }, { headers });
      assert.equal(published.json.result.offset, 1);
      for (const [method, body, status, code] of Object.values(errors)) await assertBare(hub, method, body, status, code, headers);
    });
  }

  test('of upstreams and keys have theirs in any case', async t => {
    const hub = await startErrorHub(t);
    const transport = { 'X-Belfry-Error-Mode': 'transport' };
    for (const [feed, status] of [['failing', 502], ['late', 504]]) {
      const answer = await hub.api('feed_refresh', { feed });
      assert.equal(answer.status, status, answer.text);
      assert.equal(answer.json.error.code, status);
      await assertBare(hub, 'feed_refresh', { feed }, status, status, transport);
    }
    const denied = await hub.api('publish', { channel: 'log:a', data: 1 }, { key: 'the-key-of-the-reader' });
    assert.equal(denied.status, 403);
    assert.equal(denied.json.error.code, 103);
    const bare = await hub.api('publish', { channel: 'log:a', data: 1 }, { key: 'the-key-of-the-reader', headers: transport });
    assert.equal(bare.status, 403);
    assert.equal(bare.json.code, 103);
  });

  test('of single commands do not change the status of a batch, nor of a stream of calls', async t => {
    const hub = await startErrorHub(t, { error_mode: 'transport' });
    const command = { publish: { channel: 'nope:a', data: 1 } };
    const { status, json } = await hub.api('batch', { commands: [command] });
    assert.equal(status, 200);
    assert.equal(json.replies[0].error.code, 102);
    const streamed = await hub.request('POST', '/api', { body: { id: 1, method: 'publish', params: command.publish }, headers: { 'x-api-key': hub.key } });
    assert.equal(streamed.status, 200);
    assert.equal(streamed.json.error.code, 102);
    await assertBare(hub, 'batch', {}, 400, 107);
  });

  test('that say that the request is none are plain text', async t => {
    const hub = await startErrorHub(t, { error_mode: 'transport' });
    for (const [method, body, status] of [['publish', '{', 400], ['publish', '[]', 400], ['nope', {}, 404], ['url_proxy', {}, 404]]) {
      const answer = await hub.api(method, body);
      assert.equal(answer.status, status);
      assert.match(answer.headers['content-type'], /^text\/plain/);
    }
  });
});

describe('rpc', { concurrency: true }, () => {
  test('is answered as Centrifugo answers for what nobody has registered', async t => {
    const hub = await startErrorHub(t);
    const { json } = await hub.api('rpc', { method: 'anything', params: { a: 1 } });
    assert.equal(json.error.code, 104);
    assert.match(json.error.message, /^not found/);
    for (const body of [{}, { method: '' }, { method: 1 }]) assert.equal((await hub.api('rpc', body)).json.error.code, 107);
  });
});
