// Whether plain GETs go without libcurl (upstreams.direct, as is usual) or with it: the documents, what is said of each upstream
// and what upstreams are asked are the same.
import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, test } from 'node:test';

import { namespaces, feedOf, refresh, startFeedHub } from './lib/feed.mjs';
import { slowDns } from './lib/slow_dns.mjs';
import { refusedUrl, startUpstream } from './lib/upstream.mjs';

const X = { x: 1.5 };
const BODY = JSON.stringify(X);
const good = `HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;

// Name, which is the path => what the n-th request of a connection is answered; null: the connection ends instead.
const answers = {
  length: () => good,
  chunked: () => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a="b"\r\n${BODY.slice(0, 2)}\r\n${(BODY.length - 2).toString(16)}\r\n${BODY.slice(2)}\r\n0\r\nX: y\r\n\r\n`,
  'until-close': () => `HTTP/1.1 200 OK\r\n\r\n${BODY}`,
  old: () => `HTTP/1.0 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
  interim: () => `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${good}`,
  'line-feeds': () => good.replaceAll('\r\n', '\n'),
  'closed-later': n => (n === 1 ? good : null),
  condition: n => (n === 1 ? good.replace('\r\n\r\n', '\r\nETag: "1"\r\n\r\n') : 'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n'),
  here: () => 'HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ../length?a b\r\n\r\n',
  nowhere: () => 'HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://[::1\r\n\r\n',
  'chunk-size': () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n',
  'breaks-off': () => 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"x"',
  'not-http': () => 'SSH-2.0-OpenSSH\r\n',
};
const ending = new Set(['until-close', 'breaks-off', 'not-http']);

/** asked: [request line, headers but Host, which connection], in the order of arrival. */
async function startScript(t) {
  const script = { asked: [] };
  const sockets = new Set();
  const server = net.createServer(socket => {
    const number = sockets.size;
    let text = '';
    let n = 0;
    sockets.add(socket);
    socket.setEncoding('latin1').on('error', () => {}).on('data', piece => {
      text += piece;
      if (!text.endsWith('\r\n\r\n')) return;
      const [first, ...lines] = text.trimEnd().split('\r\n');
      const [, name] = /^GET \/([a-z-]+)/.exec(first);
      const answer = answers[name](++n);
      script.asked.push([first, lines.filter(line => !line.startsWith('Host: ')), number]);
      text = '';
      if (answer) socket.write(answer);
      if (!answer || ending.has(name)) socket.end();
    });
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  script.url = `http://127.0.0.1:${server.address().port}`;
  return script;
}

const FINE = ['fresh', 200, X];
const failed = (outcome, status) => [outcome, status, null];

/** Name => [URL, what is expected of the first run, more of the upstream]. */
async function casesOf(t) {
  const upstream = await startUpstream(t);
  const other = await startScript(t);
  await upstream.put('x', BODY);
  const named = name => `${upstream.url.replace('127.0.0.1', name)}/values/x`;
  return {
    plain: [`${upstream.url}/values/x`, FINE],
    gzip: [`${upstream.url}/values/x?gzip=1`, FINE],
    localhost: [named('localhost'), FINE],
    name: [named('api.test'), FINE],
    nowhere: ['http://nowhere.slow.test/', failed('dns_error', 0)],
    redirects: [`${upstream.url}/redirect/3?to=/values/x`, FINE],
    abroad: [`${upstream.url}/redirect/1?to=${encodeURIComponent(`${other.url}/length`)}`, failed('refused', 302)],
    missing: [`${upstream.url}/status/404`, failed('http_error', 404)],
    failing: [`${upstream.url}/status/500?gzip=1`, failed('http_error', 500)],
    empty: [`${upstream.url}/status/204`, failed('invalid_json', 204)],
    large: [`${upstream.url}/json?size=2000000`, failed('too_large', 200)],
    bomb: [`${upstream.url}/json?bomb=2000`, failed('too_large', 200)],
    silent: [`${upstream.url}/health?hang=1`, failed('timeout', 0), { timeout: '200ms' }],
    reset: [`${upstream.url}/health?reset=1`, failed('connect_error', 0)],
    refused: [await refusedUrl(t, upstream), failed('connect_error', 0)],
  };
}

/** The same of answers made by hand. Each has a server of its own, so that it knows which connections are whose. */
async function scriptedCasesOf(t) {
  const expected = { nowhere: failed('refused', 302), 'chunk-size': failed('connect_error', 200), 'breaks-off': failed('connect_error', 200), 'not-http': failed('connect_error', 0) };
  const scripts = {};
  const cases = {};
  for (const name of Object.keys(answers)) {
    scripts[name] = await startScript(t);
    cases[name] = [`${scripts[name].url}/${name}/`, expected[name] ?? FINE];
  }
  return { scripts, cases };
}

const withoutTimes = ({ data, upstreams }) => ({
  data,
  upstreams: Object.fromEntries(Object.entries(upstreams).map(([name, one]) => {
    const { error, ...rest } = Object.fromEntries(Object.entries(one).filter(([key]) => !key.endsWith('_ms')));
    return [name, { ...rest, hasError: Boolean(error) }];
  })),
});

/** Two runs, so that the second has connections and conditions of the first. */
async function runs(t, cases, direct) {
  const upstreams = Object.fromEntries(Object.entries(cases).map(([name, [url, , more]]) => [name, { url, breaker: { failures: 0 }, ...more }]));
  const hub = await startFeedHub(t, feedOf(upstreams), {
    config: { channel: { namespaces }, upstreams: { direct } }, env: slowDns({ ms: 1, map: { 'api.test': '127.0.0.1' } }),
  });
  const first = await refresh(hub);
  return { first: withoutTimes(first), second: withoutTimes(await refresh(hub)) };
}

function assertExpected(cases, { first }) {
  for (const [name, [, [outcome, status, data]]] of Object.entries(cases)) {
    const one = first.upstreams[name];
    assert.deepEqual([one.outcome, one.status, first.data[name]], [outcome, status, data], `${name}: ${JSON.stringify(one)}`);
  }
}

describe('with libcurl and without it', { concurrency: true }, () => {
  test('the same comes of the same upstreams', async t => {
    const cases = await casesOf(t);
    const results = [];
    for (const direct of [true, false]) {
      const result = await runs(t, cases, direct);
      assertExpected(cases, result);
      assert.equal(result.second.upstreams.plain.status, 304);
      results.push(result);
    }
    assert.deepEqual(results[0], results[1]);
  });

  test('the same comes of the same bytes, which are asked for in the same words', async t => {
    const results = [];
    for (const direct of [true, false]) {
      const { scripts, cases } = await scriptedCasesOf(t);
      const result = await runs(t, cases, direct);
      assertExpected(cases, result);
      assert.deepEqual(scripts.condition.asked.map(([, lines]) => lines.filter(line => line.startsWith('If-'))), [[], ['If-None-Match: "1"']]);
      const asked = Object.fromEntries(Object.entries(scripts).map(([name, script]) => [name, script.asked]));
      results.push({ result, asked });
    }
    const codings = results.map(({ asked }) => asked.length[0][1].find(line => line.startsWith('Accept-Encoding: ')));
    assert.equal(codings[0], 'Accept-Encoding: gzip, deflate');
    assert.notEqual(codings[1], codings[0]); // libcurl's, which knows more
    for (const { asked } of results) {
      for (const requests of Object.values(asked)) for (const request of requests) request[1] = request[1].filter(line => !line.startsWith('Accept-Encoding: ')).sort();
    }
    assert.deepEqual(results[0], results[1]);
  });
});
