// The document about the API: a good one, complete, and served. What it says is held to every answer by lib/openapi.mjs.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';

import { Validator } from '@seriousme/openapi-schema-validator';

import { belfry } from './lib/command.mjs';
import { startHub } from './lib/hub.mjs';
import { checkExchange, fits, readApi } from './lib/openapi.mjs';

const everything = {
  openapi: { enabled: true }, prometheus: { enabled: true }, url_proxy: { enabled: true, access: 'public' },
  http_stream: { enabled: true }, sse: { enabled: true }, uni_http_stream: { enabled: true }, uni_sse: { enabled: true }, uni_websocket: { enabled: true },
};

function* operationsOf(api) {
  for (const [path, item] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (method !== 'parameters') yield { path, method, operation };
    }
  }
}

/** [pointer of a schema, an example for it] */
function* examplesOf(node, pointer = '') {
  if (node === null || typeof node !== 'object') return;
  if (node.schema) for (const { value } of Object.values(node.examples ?? {})) yield [`${pointer}/schema`, value];
  if (pointer.startsWith('/components/schemas/')) for (const example of Array.isArray(node.examples) ? node.examples : []) yield [pointer, example];
  for (const [name, child] of Object.entries(node)) yield* examplesOf(child, `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`);
}

describe('the document', { concurrency: true }, () => {
  test('is good OpenAPI 3.1', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(readApi()));
    assert.ok(valid, JSON.stringify(errors, null, 1));
    assert.match(readApi().openapi, /^3\.1\./);
    const ids = [...operationsOf(readApi())].map(({ operation }) => operation.operationId);
    assert.equal(new Set(ids).size, ids.length, 'each operationId is there once');
  });

  test('leads nowhere that is not there, and has nothing that nobody uses', () => {
    const used = new Set([...JSON.stringify(readApi()).matchAll(/"\$ref":"#\/components\/([^"]+)"/g)].map(([, name]) => name));
    const { securitySchemes, ...components } = readApi().components;
    const there = Object.entries(components).flatMap(([kind, items]) => Object.keys(items).map(name => `${kind}/${name}`));
    assert.deepEqual([...used].filter(name => !there.includes(name)), []);
    assert.deepEqual(there.filter(name => !used.has(name)), ['responses/MethodNotAllowed'], 'which is for what no path has');
    const named = [...operationsOf(readApi())].flatMap(({ operation }) => operation.security ?? readApi().security).flatMap(Object.keys);
    assert.deepEqual(new Set(named), new Set(Object.keys(securitySchemes)));
  });

  test('has examples that fit', () => {
    const examples = [...examplesOf(readApi())];
    assert.ok(examples.length > 20);
    for (const [pointer, example] of examples) assert.equal(fits(pointer, example), '', pointer);
  });

  test('has each method of the API, and no other', async () => {
    const source = await readFile(new URL('../../protocols/api_methods.c', import.meta.url), 'utf8');
    const methods = [...source.matchAll(/\[API_\w+\] = "(\w+)"/g)].map(([, name]) => name).filter(name => name !== 'url_proxy');
    assert.ok(methods.length > 20);
    const documented = Object.keys(readApi().paths).filter(path => path.startsWith('/api/')).map(path => path.slice('/api/'.length));
    assert.deepEqual(documented.sort(), methods.sort());
  });

  test('has no path and no method that the hub does not have', async t => {
    const feeds = [{ name: 'city', channel: 'city', access: 'public', hook_secret: 'a-secret-of-the-feed', upstreams: [{ name: 'a', url: 'http://127.0.0.1:1/' }] }];
    const hub = await startHub(t, { config: { ...everything, feeds } });
    for (const { path, method } of operationsOf(readApi())) {
      const name = method.toUpperCase();
      // An answer that ends: the streams' is a refusal of protobuf, which nothing but they gives.
      const isStream = path.startsWith('/connection/') && name !== 'OPTIONS';
      const target = path.replace('{name}', 'city') + (isStream ? '?format=protobuf' : '');
      const { status, text } = await hub.request(name, target, { body: name === 'POST' ? {} : undefined, headers: { 'x-api-key': hub.key } });
      assert.ok(status !== 405 && !/^(nothing here|the API has no such method)$/m.test(text.slice(0, 40)), `${name} ${path}: ${status} ${text}`);
    }
  });
});

describe('what holds answers to it', { concurrency: true }, () => {
  const headers = { 'content-type': 'application/json', 'x-request-id': 'a' };
  const of = (value, more = {}) => ({ status: 200, headers, text: JSON.stringify(value), json: value, ...more });
  const publish = { method: 'POST', path: '/api/publish', body: { channel: 'a', data: 1 } };

  test('takes what is good', () => {
    checkExchange(publish, of({ result: { offset: 1, epoch: 'x' } }));
    checkExchange(publish, of({ error: { code: 107, message: 'bad request' } }));
    checkExchange({ ...publish, body: { channel: 17 } }, of({ error: { code: 107, message: 'bad request' } }));
    checkExchange({ method: 'GET', path: '/elsewhere' }, of({ any: 'thing' }, { headers: {} }));
  });

  test('refuses what it does not know', () => {
    for (const [asked, answer, why] of [
      [publish, of({ result: { offset: 1, epoch: 'x', surprise: 1 } }), /must NOT have additional properties/],
      [publish, of({ result: { offset: '1', epoch: 'x' } }), /offset must be integer/],
      [publish, of({ result: { offset: 1 } }), /must have property epoch/],
      [publish, of({ error: { code: 99, message: '' } }), /code must be equal to one of the allowed values/],
      [publish, of({ result: {} }, { status: 201 }), /a status that the document does not have here: 201/],
      [publish, of({ result: {} }, { headers: { ...headers, 'content-type': 'text/html' } }), /a type that the document does not have here: text\/html/],
      [publish, of({ result: {} }, { headers: { 'content-type': 'application/json' } }), /the header X-Request-Id is missing/],
      [publish, of(undefined, { text: '{"result":' }), /it is no JSON/],
      [publish, of(undefined, { text: '', headers: { 'x-request-id': 'a' } }), /a body is missing/],
      [publish, of({ wrong: 1 }, { status: 401 }), /a body that the document does not have/],
      [{ ...publish, body: { channel: 'a', data: 1, idempotencykey: 'x' } }, of({ result: {} }), /the request was taken/],
      [{ ...publish, body: { channel: 'a' } }, of({ result: {} }), /the request was taken/],
      [{ ...publish, method: 'PUT' }, of({ result: {} }), /a method that the document does not have/],
      [{ ...publish, path: '/api/publsh' }, of({ result: {} }), /a method that the document does not have/],
      [{ method: 'POST', path: '/api', body: '{"id":1,"method":"info"}' }, of(undefined, { text: '{"id":1,"outcome":{}}' }), /must NOT have additional properties/],
      [{ method: 'GET', path: '/health' }, of({ alive: true }), /must NOT have additional properties/],
      [{ method: 'GET', path: '/feeds/a' }, of(1, { headers: { ...headers, age: 'old' } }), /Age: old/],
    ]) assert.throws(() => checkExchange(asked, answer), why, JSON.stringify(answer));
  });

  test('is what every request of these tests goes through', async t => {
    const hub = await startHub(t);
    await assert.rejects(hub.api('info', { surprise: 1 }), /docs\/openapi\.json: POST \/api\/info: 200: the request was taken/);
    assert.equal((await hub.api('info', { surprise: 1 }, { odd: 'as seen' })).status, 200);
  });
});

describe('/openapi.json and /docs/api', { concurrency: true }, () => {
  const paths = ['/openapi.json', '/docs/api', '/docs/api/docs.js'];

  test('are served where openapi.enabled says so', async t => {
    const hub = await startHub(t, { config: { openapi: { enabled: true } } });
    const { status, headers, json } = await hub.request('GET', '/openapi.json');
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/json');
    assert.deepEqual(json, readApi());
    assert.equal((await belfry(['version'])).out.trim(), `belfry ${json.info.version}`, 'docs/openapi.json has the version of CMakeLists.txt');
    for (const path of paths) {
      const { headers } = await hub.request('GET', path);
      assert.equal((await hub.request('GET', path, { headers: { 'if-none-match': headers.etag } })).status, 304);
      assert.equal((await hub.request('HEAD', path)).status, 200);
      assert.equal((await hub.request('POST', path, { body: '' })).status, 405);
      assert.match(headers['content-security-policy'], /^default-src 'self'/);
    }
    assert.equal((await hub.request('GET', '/docs/api/other')).status, 404);
    assert.equal((await hub.request('GET', '/')).status, 404, 'the demo is another matter');
  });

  test('are not there otherwise', async t => {
    const hub = await startHub(t, { config: { demo: { enabled: true } } });
    for (const path of paths) assert.equal((await hub.request('GET', path)).status, 404, path);
  });
});
