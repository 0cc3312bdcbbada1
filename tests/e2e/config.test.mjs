// The configuration as an operator meets it: what is wrong is said, all of it, with its place; and how the program ends.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { belfry, check as checkconfig, serveToEnd, temporaryFolder } from './lib/command.mjs';
import { readDocumented, readSchema } from './lib/configuration.mjs';
import { merged, startHub } from './lib/hub.mjs';
import { openSession } from './lib/session.mjs';
import { makeToken } from './lib/token.mjs';

const examples = fileURLToPath(new URL('../../examples/', import.meta.url));
const EMPTY = { storage: { path: 'belfry.sqlite' }, http_server: { port: 0 } };

const upstream = { name: 'one', url: 'http://127.0.0.1:1/' };
const feed = { name: 'feed', channel: 'feed', upstreams: [upstream] };
const withFeed = more => ({ feeds: [{ ...feed, ...more }] });
const withUrl = (url, params = { city: 'x' }) => withFeed({ params, upstreams: [{ ...upstream, url }] });
const withNamespaces = (...namespaces) => ({ channel: { namespaces } });
const history = { history_size: 5, history_ttl: '1h' };

let schema; // read once

/** What checkconfig says; what it accepts, the schema accepts, too. */
async function check(t, config, options) {
  const result = await checkconfig(t, config, options);
  const { validate } = await (schema ??= readSchema());
  if (result.code === 0 && typeof config === 'object') assert.ok(validate(config), JSON.stringify(validate.errors));
  return result;
}

/** Fails unless checkconfig ends with 1 and says exactly this many things, each matching its pattern. */
async function assertComplaints(t, config, patterns, options) {
  const { code, text } = await check(t, config, options);
  const lines = text.trim().split('\n');
  assert.equal(code, 1, text);
  assert.equal(lines.length, patterns.length, text);
  patterns.forEach((pattern, i) => assert.match(lines[i], pattern));
}

describe('checkconfig', { concurrency: true }, () => {
  test('accepts every example', async t => {
    const names = (await readdir(examples)).filter(name => name.endsWith('.json'));
    assert.ok(names.length >= 3);
    for (const name of names) {
      const file = join(examples, name);
      const variables = [...(await readFile(file, 'utf8')).matchAll(/\$\{(\w+)\}/g)].map(([, variable]) => [variable, 'value']);
      assert.deepEqual(await belfry(['checkconfig', '--config', file], { env: Object.fromEntries(variables) }), { code: 0, text: `${file}: ok\n`, out: `${file}: ok\n` });
    }
  });

  test('accepts an empty one, and makes no database', async t => {
    const dir = await temporaryFolder(t);
    const { code, text } = await check(t, {}, { dir });
    assert.deepEqual([code, text], [0, 'config.json: ok\n']);
    assert.deepEqual(await readdir(dir), ['config.json']);
  });

  const complaints = {
    'an unknown key, with what was probably meant': [{ http_sever: {} }, /^config\.json: http_sever: unknown key \(did you mean http_server\?\)/],
    'an unknown key deep inside': [withNamespaces({ name: 'news', allow_subscribe_for_clients: true }), /channel\.namespaces\[0\]\.allow_subscribe_for_clients: unknown key \(did you mean allow_subscribe_for_client\?\)/],
    'an unknown key that is like no other': [{ xyzzy: 1 }, /^config\.json: xyzzy: unknown key; known here: http_server, /],
    'a key that is unknown only there': [{ http_server: { key: 'x' } }, /http_server\.key: unknown key/],
    'a number instead of a text': [{ http_server: { address: 1 } }, /http_server\.address: 1 is not a text/],
    'a text instead of a number': [{ http_server: { port: '8000' } }, /http_server\.port: "8000" is not a TCP port/],
    'a fraction': [{ http_server: { port: 80.5 } }, /http_server\.port: 80\.5 is not a TCP port/],
    'a text instead of true': [{ health: { enabled: 'true' } }, /health\.enabled: "true" is not true or false/],
    'null': [{ health: { enabled: null } }, /health\.enabled: null is not true or false/],
    'a list instead of an object': [{ health: [] }, /health: a list \[\.\.\.\] is not an object/],
    'an object instead of a list': [{ feeds: {} }, /feeds: an object \{\.\.\.\} is not a list/],
    'a text in a list of objects': [{ feeds: ['city'] }, /feeds\[0\]: .*is not an object/],
    'a number in a list of texts': [{ client: { allowed_origins: ['*', 1] } }, /client\.allowed_origins\[1\]: 1 is not a text/],
    'an origin with a slash at its end': [{ client: { allowed_origins: ['*', 'https://a.example/'] } }, /client\.allowed_origins: .*"https:\/\/a\.example\/" is none/],
    'an origin without a scheme': [{ client: { allowed_origins: ['a.example'] } }, /client\.allowed_origins: .*"a\.example" is none/],
    'a port out of range': [{ http_server: { port: 65536 } }, /http_server\.port: 65536 is not a TCP port from 0 \(a free one\) to 65535/],
    'a number out of range': [{ websocket: { message_size_limit: 1 } }, /websocket\.message_size_limit: 1 is not a whole number from 256 to 16777216/],
    'a host name to listen on': [{ http_server: { address: 'localhost' } }, /http_server\.address: "localhost" is not an IPv4 or IPv6 address/],
    'a duration without a unit': [{ client: { ping_interval: '25' } }, /client\.ping_interval: "25" is not a duration like "250ms", "25s" or "1h30m"/],
    'a duration that is a number': [{ client: { ping_interval: 25 } }, /client\.ping_interval: 25 is not a duration/],
    'a duration out of range': [{ shutdown: { timeout: '1ms' } }, /shutdown\.timeout: "1ms" is not a duration .* from 100ms to 1h/],
    'one key that does not go with another': [{ client: { ping_interval: '1s' } }, /client\.pong_timeout: the default "8s" is not less than ping_interval/],
    'a choice there is none of': [{ log: { level: 'loud' } }, /log\.level: "loud" is not one of trace, debug, info, warn, error, none/],
    'a choice that may be empty': [{ http_api: { error_mode: 'some' } }, /http_api\.error_mode: "some" is not one of "", transport/],
    'a line end in the API key': [{ http_api: { key: 'secret\n' } }, /http_api\.key: the value \(not shown\) is not a text without control characters/],
    'a durability there is none of': [{ storage: { durability: 'some' } }, /storage\.durability: "some" is not one of full, normal, memory/],
    'history_size without history_ttl': [withNamespaces({ name: 'news', history_size: 5 }), /channel\.namespaces\[0\]\.history_ttl: .* set together/],
    'recovery without history': [withNamespaces({ name: 'news', force_recovery: true }), /namespaces\[0\]\.force_recovery: true is not false, or history_size and history_ttl above 0/],
    'a history that outlives its position': [withNamespaces({ name: 'news', ...history, history_meta_ttl: '1m' }), /namespaces\[0\]\.history_meta_ttl: "1m" is not at least history_ttl/],
    'a namespace without a name': [withNamespaces({}), /channel\.namespaces\[0\]\.name: missing, expected the name of the namespace/],
    'a namespace with a bad name': [withNamespaces({ name: 'a:b' }), /channel\.namespaces\[0\]\.name: "a:b" is not two or more letters/],
    'a namespace that is there twice': [withNamespaces({ name: 'news' }, { name: 'chat' }, { name: 'news' }), /channel\.namespaces\[2\]\.name: "news" is not a name that no other namespace has/],
    'a feed that is there twice': [{ feeds: [feed, feed] }, /feeds\[1\]\.name: "feed" is not a name that no other feed has/],
    'an upstream that is there twice': [withFeed({ upstreams: [upstream, upstream] }), /feeds\[0\]\.upstreams\[1\]\.name: "one" is not a name that no other upstream/],
    'a feed without upstreams': [withFeed({ upstreams: [] }), /feeds\[0\]\.upstreams: .*at least one upstream/],
    'a feed with a bad name': [withFeed({ name: 'a b' }), /feeds\[0\]\.name: "a b" is not a name of letters/],
    'a feed without a channel': [{ feeds: [{ name: 'feed', upstreams: [upstream] }] }, /feeds\[0\]\.channel: missing, expected a channel/],
    'a feed in a channel of no namespace': [withFeed({ channel: 'city:x' }), /feeds\[0\]\.channel: "city:x" is not a channel of a namespace under channel\.namespaces/],
    'a channel with an unknown parameter': [withFeed({ channel: '{town}' }), /feeds\[0\]\.channel: "\{town\}" is not a channel whose \{names\} stand under params/],
    'a channel with an open brace': [withFeed({ channel: 'a{' }), /feeds\[0\]\.channel: "a\{" is not a channel such as/],
    'a bad regular expression': [withFeed({ params: { city: '[a-z' } }), /feeds\[0\]\.params: .*POSIX extended regular expressions/],
    'a bad JSON Pointer': [withFeed({ upstreams: [{ ...upstream, select: 'items' }] }), /upstreams\[0\]\.select: "items" is not a JSON Pointer such as/],
    'a URL of another scheme': [withUrl('ftp://127.0.0.1/'), /upstreams\[0\]\.url: "ftp:\/\/127\.0\.0\.1\/" is not an absolute http or https URL/],
    'a relative URL': [withUrl('/weather'), /is not an absolute http or https URL/],
    'a URL whose host is a parameter': [withUrl('http://{city}/'), /is not a host without places for parameters/],
    'a URL whose port is a parameter': [withUrl('http://127.0.0.1:{city}/'), /is not a host without places for parameters/],
    'a URL with a password': [withUrl('http://user:word@127.0.0.1/'), /is not a host without user information/],
    'a URL with a fragment': [withUrl('http://127.0.0.1/#x'), /is not a URL without a fragment/],
    'a URL with a blank': [withUrl('http://127.0.0.1/a b'), /is not a URL without blanks/],
    'a URL with an impossible port': [withUrl('http://127.0.0.1:99999/'), /is not a port from 1 to 65535/],
    'a URL with an open brace': [withUrl('http://127.0.0.1/{city'), /is not closed braces around names/],
    'a URL with an unknown parameter': [withUrl('http://127.0.0.1/{town}'), /is not a URL whose \{names\} stand under params/],
    'a variable that is not set': [{ http_api: { key: '${BELFRY_TEST_NOT_SET}' } }, /http_api\.key: the environment variable BELFRY_TEST_NOT_SET is not set/],
    'a path that is taken': [{ sse: { enabled: true, handler_prefix: '/connection/websocket' } }, /: sse\.handler_prefix: "\/connection\/websocket" is not a path that websocket\.handler_prefix has not/],
    'a proxy there is none of': [withNamespaces({ name: 'news', subscribe_proxy_enabled: true, subscribe_proxy_name: 'hospitl' }), /: channel\.namespaces\[0\]\.subscribe_proxy_name: "hospitl" is not a name under proxies, or "default" where channel\.proxy\.subscribe is enabled/],
    'a default proxy that is not enabled': [withNamespaces({ name: 'news', sub_refresh_proxy_enabled: true }), /: channel\.namespaces\[0\]\.sub_refresh_proxy_name: expected channel\.proxy\.sub_refresh enabled, or a name under proxies/],
    'a method that nobody answers': [{ rpc: { without_namespace: { proxy_enabled: true } } }, /: rpc\.without_namespace\.proxy_name: expected rpc\.proxy enabled, or a name under proxies/],
    'a backend without a host': [{ proxies: [{ name: 'crm', endpoint: 'http:///x' }] }, /: proxies\[0\]\.endpoint: "http:\/\/\/x" is not a URL with a host: it has no host/],
    'two ways to look at an audience': [{ client: { token: { audience: 'a', audience_regex: 'b' } } }, /: client\.token\.audience_regex: expected either audience or audience_regex/],
    'subscription tokens without a key': [{ client: { subscription_token: { enabled: true } } }, /: client\.subscription_token\.enabled: expected a key beside it/],
    'a personal channel in no namespace': [{ client: { subscribe_to_user_personal_channel: { enabled: true, personal_channel_namespace: 'nope' } } }, /: client\.subscribe_to_user_personal_channel\.personal_channel_namespace: "nope" is not the name of a namespace/],
    'a ${ without an end': [{ log: { level: '${NAME' } }, /log\.level: \$\{ must be followed by the name of an environment variable/],
  };
  test('names the path, the value and what was expected', async t => {
    for (const [what, [config, pattern]] of Object.entries(complaints)) {
      await t.test(`of ${what}`, tt => assertComplaints(tt, config, [pattern]));
    }
  });

  test('the schema refuses what is wrong by type, name, range or choice', async () => {
    const { validate } = await readSchema();
    const names = ['an unknown key, with what was probably meant', 'an unknown key deep inside', 'an unknown key that is like no other', 'a key that is unknown only there',
      'a number instead of a text', 'a text instead of a number', 'a fraction', 'a text instead of true', 'null', 'a list instead of an object', 'an object instead of a list',
      'a text in a list of objects', 'a number in a list of texts', 'a port out of range', 'a number out of range', 'a duration without a unit', 'a duration that is a number',
      'a choice there is none of', 'a choice that may be empty', 'a durability there is none of', 'a namespace without a name', 'a feed without a channel', 'a ${ without an end'];
    for (const name of names) assert.ok(!validate(complaints[name][0]), name);
    const others = Object.keys(complaints).filter(name => !names.includes(name) && !validate(complaints[name][0]));
    assert.deepEqual(others, [], 'and no others: these belong into the list');
  });

  test('says everything at once', async t => {
    const config = {
      http_sever: {},
      http_server: { port: 70000, adress: '' },
      client: { ping_interval: '5', token: { hmac_secret_key: 17 } },
      channel: { namespaces: [{ name: 'news', force_recovery: true }, { name: 'chat', nonsense: 1 }] },
      feeds: [{ ...feed, upstreams: [{ ...upstream, url: 'x' }, { name: 'two' }] }, withFeed({ params: { a: '(' } }).feeds[0], { ...feed, channel: '' }],
      storage: { path: '${BELFRY_TEST_NOT_SET}' },
    };
    await assertComplaints(t, config, [
      /: http_sever: /, /: http_server\.port: /, /: http_server\.adress: /, /: client\.ping_interval: /, /: client\.token\.hmac_secret_key: /,
      /: channel\.namespaces\[0\]\.force_recovery: /, /: channel\.namespaces\[1\]\.nonsense: /,
      /: feeds\[0\]\.upstreams\[0\]\.url: /, /: feeds\[0\]\.upstreams\[1\]\.url: missing/, /: feeds\[1\]\.params: /, /: feeds\[2\]\.channel: /, /: storage\.path: /,
      /: feeds\[1\]\.name: /, /: feeds\[2\]\.name: /,
    ]);
  });

  test('says everything at once of what does not go together, too', async t => {
    const [proxy, webhook] = [{ name: 'crm', endpoint: 'http://127.0.0.1:1/' }, { name: 'crm', endpoint: 'http://127.0.0.1:1/', events: ['disconnect'] }];
    const config = {
      http_stream: { enabled: true }, sse: { enabled: true, handler_prefix: '/connection/http_stream' }, uni_sse: { enabled: true, handler_prefix: 'x' },
      client: { ping_interval: '1s', allowed_origins: ['x'] },
      channel: { namespaces: [{ name: 'news', history_size: 5 }, { name: 'ward', subscribe_proxy_enabled: true, subscribe_proxy_name: 'none' }, { name: 'news' }] },
      proxies: [proxy, proxy], webhooks: [webhook, { ...webhook, retry_min_delay: '2s', retry_max_delay: '1s' }],
      feeds: [feed, { ...feed, channel: 'city:x', upstreams: [upstream, { ...upstream, url: 'x' }] }],
    };
    const { text } = await check(t, config);
    for (const place of ['sse.handler_prefix', 'uni_sse.handler_prefix', 'client.pong_timeout', 'client.allowed_origins', 'channel.namespaces[0].history_ttl',
      'channel.namespaces[2].name', 'proxies[1].name', 'webhooks[1].name', 'webhooks[1].retry_max_delay', 'feeds[1].upstreams[1].url', 'feeds[1].upstreams[1].name', 'feeds[1].name']) {
      assert.ok(text.includes(`config.json: ${place}: `), `${place}:\n${text}`);
    }
    assert.equal(text.trim().split('\n').length, 12, text);
    config.proxies.pop();
    config.channel.namespaces.pop();
    const again = (await check(t, config)).text;
    for (const place of ['channel.namespaces[1].subscribe_proxy_name', 'feeds[1].channel']) assert.ok(again.includes(`config.json: ${place}: `), again);
  });

  test('one wrong value makes no others wrong', async t => {
    const ns = { name: 'news', force_recovery: true, history_ttl: '1h' };
    await assertComplaints(t, withNamespaces({ ...ns, history_size: 'x' }), [/history_size: "x"/]);
    await assertComplaints(t, { channel: { namespaces: 5 }, ...withFeed({ channel: 'city:x' }) }, [/channel\.namespaces: 5/]);
    await assertComplaints(t, { proxies: 5, ...withNamespaces({ name: 'news', publish_proxy_enabled: true, publish_proxy_name: 'crm' }) }, [/proxies: 5/]);
    await assertComplaints(t, { client: { ping_interval: 1, pong_timeout: '30s' } }, [/ping_interval: 1/]);
    await assertComplaints(t, { client: { subscription_token: { enabled: true, rsa_public_key: 'x' } } }, [/rsa_public_key: /]);
    await assertComplaints(t, { channel: { proxy: { publish: { enabled: 1 } }, ...withNamespaces({ name: 'news', publish_proxy_enabled: true }).channel } }, [/proxy\.publish\.enabled: 1/]);
  });

  test('a syntax error names file, line and column once', async t => {
    await assertComplaints(t, '{\n  "log": {\n    "level": info\n  }\n}\n', [/^config\.json: line 3, column \d+: \w+/]);
    await assertComplaints(t, '', [/^config\.json: line 1, column 0: /]);
    await assertComplaints(t, '{"log":{}', [/^config\.json: line 1, column \d+: /]);
    await assertComplaints(t, '{"log":{},\n"log":{}}', [/^config\.json: line 2, column \d+: duplicate object key/]);
  });

  test('a document that is no object, or no UTF-8', async t => {
    await assertComplaints(t, '[]', [/is not an object of settings/]);
    await assertComplaints(t, Buffer.from('{"log":{"level":"\xff"}}', 'latin1'), [/^config\.json: .*line 1/]);
    await assertComplaints(t, '{}\0', [/NUL byte/]);
  });

  test('a file that cannot be read', async t => {
    const dir = await temporaryFolder(t);
    const missing = join(dir, 'missing.json');
    for (const file of [missing, dir]) {
      for (const command of ['checkconfig', 'serve']) {
        const { code, text } = await belfry([command, '--config', file]);
        assert.equal(code, 1);
        assert.ok(text.startsWith(`${file}: cannot be read`), text);
      }
    }
  });

  test('serve refuses what checkconfig refuses, with the same words', async t => {
    const config = { http_sever: {}, log: { level: 'loud' } };
    const [checked, served] = [await check(t, config), await serveToEnd(t, config)];
    assert.deepEqual(served, checked);
    assert.equal(served.code, 1);
  });
});

describe('the environment', { concurrency: true }, () => {
  test('${NAME} in a text is replaced', async t => {
    const hub = await startHub(t, { config: { http_api: { key: '${PREFIX}-${SECRET_1}-$$' } }, env: { PREFIX: 'pre', SECRET_1: '1"${2}' } });
    assert.equal((await hub.api('info', {}, { key: 'pre-1"${2}-$$' })).status, 200);
    assert.equal((await hub.api('info', {}, { key: '${PREFIX}-${SECRET_1}-$$' })).status, 401);
  });

  test('a variable in place of a duration, and in a list', async t => {
    const config = { client: { ping_interval: '${PING}', allowed_origins: ['https://${SITE}'] } };
    assert.equal((await check(t, config, { env: { PING: '20s', SITE: 'example.org' } })).code, 0);
    await assertComplaints(t, config, [/client\.ping_interval: .* is not a duration/], { env: { PING: 'soon', SITE: 'example.org' } });
  });

  test('BELFRY_HTTP_SERVER_PORT wins over http_server.port', async t => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    await new Promise(resolve => taken.once('listening', resolve));
    t.after(() => taken.close());
    const hub = await startHub(t, { config: { http_server: { port: taken.address().port } }, env: { BELFRY_HTTP_SERVER_PORT: '0' } });
    assert.notEqual(hub.port, taken.address().port);
  });

  test('every kind of scalar can be overridden, and lists of texts by words', async t => {
    const env = { BELFRY_HTTP_API_KEY: 'other', BELFRY_HEALTH_ENABLED: 'false', BELFRY_CLIENT_PING_INTERVAL: '20s', BELFRY_LOG_LEVEL: 'debug', BELFRY_CLIENT_ALLOWED_ORIGINS: 'https://a.example https://b.example' };
    const hub = await startHub(t, { config: { client: { insecure: true } }, env });
    assert.equal((await hub.request('GET', '/health')).status, 404);
    assert.equal((await hub.api('info', {}, { key: 'other' })).status, 200);
    assert.equal((await hub.api('info')).status, 401);
    const { connected } = await openSession(t, hub, { headers: { origin: 'https://b.example' } });
    assert.equal(connected.ping, 20);
    await assert.rejects(openSession(t, hub, { headers: { origin: 'https://c.example' } }), { status: 403 });
  });

  test('a bad value is named with its variable', async t => {
    await assertComplaints(t, EMPTY, [/http_server\.port \(from BELFRY_HTTP_SERVER_PORT\): "x" is not a TCP port/], { env: { BELFRY_HTTP_SERVER_PORT: 'x' } });
    await assertComplaints(t, EMPTY, [/log\.level \(from BELFRY_LOG_LEVEL\): "" is not one of/], { env: { BELFRY_LOG_LEVEL: '' } });
  });

  test('a variable that fits no key is warned of', async t => {
    const { code, text } = await check(t, EMPTY, { env: { BELFRY_HTTP_SERVER_PROT: '1' } });
    assert.equal(code, 0);
    assert.match(text, / warn config unknown_environment_variable name=BELFRY_HTTP_SERVER_PROT\n/);
  });
});

describe('secrets', { concurrency: true }, () => {
  const SECRET = 'Geheimnis-4711-und-mehr-davon';

  test('are in no error message', async t => {
    const cases = [
      [{ http_api: { key: SECRET, kye: SECRET } }],
      [{ http_api: { key: 4711471147114711 } }],
      [{ client: { token: { hmac_secret_key: 4711471147114711 } } }],
      [{ http_api: { key: [SECRET] } }],
      [{ http_api: { key: { a: SECRET } } }],
      [{ client: { token: { hmac_secret_key: { [SECRET.slice(0, 4)]: SECRET } } } }],
      [{ http_api: SECRET }],
      [{ client: { token: SECRET } }],
      [`{"http_api":{"key":"${SECRET}" x}}`],
      [`{"http_api":{"key":"${SECRET}}}`],
      [`{"http_api":{"key":"a"},"client":{"token":{"hmac_secret_key": ${SECRET}}}}`],
      [{ http_api: { key: '${A_SECRET}${B}' } }, { A_SECRET: SECRET }],
      [{ log: { level: 'x' } }, { BELFRY_HTTP_API_KEY: SECRET, BELFRY_CLIENT_TOKEN_HMAC_SECRET_KEY: SECRET }],
    ];
    for (const [config, env] of cases) {
      const { code, text } = await check(t, config, { env });
      assert.equal(code, 1, text);
      for (const secret of [SECRET, SECRET.slice(0, 12), '4711']) assert.ok(!text.includes(secret), text);
    }
  });

  test('are not shown where they do not belong either', async t => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const [start, line] = privateKey.export({ type: 'pkcs8', format: 'pem' }).split('\n');
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    const url = `http://user:${SECRET}@127.0.0.1/`;
    const cases = [
      [{ client: { token: { rsa_public_key: pem } } }, {}, /rsa_public_key: the value \(not shown\) is not a public key: this is a private key/],
      [{ client: { token: { ecdsa_public_key: pem } } }, {}, /ecdsa_public_key: the value \(not shown\) is not a public key: this is a private key/],
      [{}, { BELFRY_CLIENT_TOKEN_RSA_PUBLIC_KEY: pem }, /rsa_public_key \(from BELFRY_CLIENT_TOKEN_RSA_PUBLIC_KEY\): the value \(not shown\) is not a public key: this/],
      [{ storage: { durability: pem } }, {}, /storage\.durability: the value \(not shown\) is not one of/],
      [{ proxies: [{ name: 'crm', endpoint: url }] }, {}, /proxies\[0\]\.endpoint: "http:\/\/\.\.\.@127/],
      [{ webhooks: [{ name: 'crm', endpoint: `${url} x`, events: ['disconnect'] }] }, {}, /webhooks\[0\]\.endpoint: "http:\/\/\.\.\.@127/],
      [{ client: { token: { jwks_public_endpoint: url } } }, {}, /jwks_public_endpoint: "http:\/\/\.\.\.@127/],
      [{}, { BELFRY_CLIENT_TOKEN_JWKS_PUBLIC_ENDPOINT: url }, /jwks_public_endpoint \(from BELFRY_CLIENT_TOKEN_JWKS_PUBLIC_ENDPOINT\): "http:\/\/\.\.\.@127/],
      [withUrl(url), {}, /upstreams\[0\]\.url: "http:\/\/\.\.\.@127/],
      [{ client: { allowed_origins: [url] } }, {}, /client\.allowed_origins: /],
    ];
    for (const [config, env, pattern] of cases) {
      const { code, text } = await check(t, config, { env });
      assert.equal(code, 1, text);
      assert.match(text, pattern);
      for (const secret of [start, line.slice(0, 12), SECRET.slice(0, 6)]) assert.ok(!text.includes(secret), text);
    }
  });

  test('are in no line of the log, down to trace', async t => {
    const config = { log: { level: 'trace' }, http_api: { key: '${KEY}' }, client: { token: { hmac_secret_key: SECRET } } };
    const hub = await startHub(t, { config, env: { KEY: `${SECRET}-key` } });
    const token = makeToken({ sub: '42' }, { secret: SECRET });
    const session = await openSession(t, hub, { connect: { token } });
    await hub.api('publish', { channel: 'x', data: 'private-data' }, { key: `${SECRET}-key` });
    await hub.api('info', {}, { key: `${SECRET}-wrong` });
    await hub.request('POST', `/api/info?api_key=${SECRET}`, { body: '{}', headers: { authorization: `apikey ${SECRET}` } });
    const refused = await openSession(t, hub, { connect: null });
    refused.send({ id: 1, connect: { token: `${token}x` } });
    await refused.closed;
    session.ws.close();
    await session.closed;
    await hub.stop();
    const log = hub.lines.join('\n');
    for (const secret of [SECRET, token, token.split('.')[2], 'private-data']) assert.ok(!log.includes(secret), log);
  });
});

/** The keys that the program knows, by asking it with one that it does not: the leaves, and the objects and lists that hold them. */
async function walkKnown(t, path, keys, found) {
  const nest = value => path.reduceRight((inner, step) => (step === 0 ? [inner] : { [step]: inner }), value);
  const below = new Map();
  for (const [probe, index] of [[{ xyzzy: 1 }, ''], [[{ xyzzy: 1 }], '[0]']]) {
    const { text } = await check(t, nest(Object.fromEntries(keys.map(key => [key, probe]))));
    for (const line of text.split('\n')) {
      const [, place, known] = /: (\S+)\.xyzzy: unknown key.*; known here: (.*)$/.exec(line) ?? [];
      const key = place && keys.find(name => place.endsWith(`${name}${index}`) && pathText([...path, name]) === place.slice(0, place.length - index.length).replaceAll('[0]', '[]'));
      if (key) below.set(key, { path: [...path, key, ...(index ? [0] : [])], keys: known.split(', ') });
    }
  }
  for (const key of keys) {
    (below.has(key) ? found.parts : found.leaves).add(pathText([...path, key]));
    if (below.has(key)) await walkKnown(t, below.get(key).path, below.get(key).keys, found);
  }
  return found;
}

const pathText = path => path.reduce((text, step) => (step === 0 ? `${text}[]` : text ? `${text}.${step}` : step), '');

test('docs/configuration.md lists every key, and no other', async t => {
  const { text } = await check(t, { xyzzy: 1 });
  const known = await walkKnown(t, [], text.trim().split('; known here: ')[1].split(', '), { leaves: new Set(), parts: new Set() });
  const documented = await readDocumented();
  assert.ok(known.leaves.size > 200 && known.leaves.has('feeds[].upstreams[].url'), [...known.leaves].join('\n'));
  assert.deepEqual([...documented.leaves.keys()].sort(), [...known.leaves].sort());
  assert.deepEqual(documented.parts.filter(part => !known.parts.has(part)), []);
});

describe('the command line', { concurrency: true }, () => {
  test('--help and help explain, version and --version tell the version', async () => {
    for (const args of [['--help'], ['-h'], ['help']]) {
      const { code, out } = await belfry(args);
      assert.equal(code, 0);
      for (const word of ['serve', 'checkconfig', 'version', '--config FILE']) assert.ok(out.includes(word), out);
    }
    for (const args of [['version'], ['--version'], ['-v']]) {
      const { code, text } = await belfry(args);
      assert.equal(code, 0);
      assert.match(text, /^belfry \d+\.\d+\.\d+\n$/);
    }
  });

  test('2 for what it does not know', async () => {
    for (const args of [[], ['nonsense'], ['serve'], ['checkconfig'], ['serve', '--nonsense'], ['--config'], ['serve', 'checkconfig', '--config', 'x']]) {
      const { code, text, out } = await belfry(args);
      assert.equal(code, 2, args.join(' '));
      assert.equal(out, '');
      assert.match(text, /is missing|lacks its value|is not one of|one argument too many/);
    }
    assert.match((await belfry(['frobnicate'])).text, /^belfry: "frobnicate" is not one of the commands: serve, checkconfig/);
  });

  test('serve is what it does without a command', async t => {
    const dir = await temporaryFolder(t);
    await writeFile(join(dir, 'c.json'), '{"log":{"level":"loud"}}');
    const { code, text } = await belfry(['--config', join(dir, 'c.json')]);
    assert.equal(code, 1);
    assert.match(text, /log\.level/);
  });
});

describe('a hub that cannot start says why and ends with 1', { concurrency: true }, () => {
  async function assertNotStarted(t, config, pattern, options) {
    const { code, text } = await serveToEnd(t, merged(EMPTY, config), options);
    assert.equal(code, 1, text);
    assert.match(text, pattern);
    assert.match(text, / error main not_started /);
  }

  test('the port is in use', async t => {
    const other = await startHub(t);
    const { port } = other;
    await assertNotStarted(t, { http_server: { port } }, new RegExp(` error listener cannot_listen .*address=127\\.0\\.0\\.1 port=${port} error="Address already in use"`));
  });

  test('the address is not of this machine', async t => {
    await assertNotStarted(t, { http_server: { address: '192.0.2.1' } }, / error listener cannot_listen .*address=192\.0\.2\.1 /);
  });

  test('the folder of the database is missing', async t => {
    await assertNotStarted(t, { storage: { path: 'missing/belfry.sqlite' } }, / error storage .*missing\/belfry\.sqlite.*No such file or directory/);
  });

  test('the database cannot be written', async t => {
    const dir = await temporaryFolder(t);
    await mkdir(join(dir, 'folder'));
    await assertNotStarted(t, { storage: { path: 'folder' } }, / error storage \w+ .*=folder.* error="Is a directory"/, { dir });
    await assertNotStarted(t, { storage: { path: '/proc/belfry.sqlite' } }, / error storage .*\/proc\/belfry\.sqlite/);
  });

  test('the file is no database, or one of another program', async t => {
    const dir = await temporaryFolder(t);
    const text = 'Dear diary, this is no database. '.repeat(50);
    await writeFile(join(dir, 'diary.txt'), text);
    await assertNotStarted(t, { storage: { path: 'diary.txt' } }, / error storage .*path=diary\.txt status=corrupt|file is not a database/, { dir });
    assert.equal(await readFile(join(dir, 'diary.txt'), 'utf8'), text, 'it was not touched');
  });

  test('another hub uses the database', async t => {
    const other = await startHub(t);
    await assertNotStarted(t, { storage: { path: join(other.dir, 'belfry.sqlite') } }, / error storage in_use .*another process has opened this database/);
    await other.call('publish', { channel: 'x', data: 1 });
  });

  test('with durability memory no path is needed and no file is made', async t => {
    const dir = await temporaryFolder(t);
    const hub = await startHub(t, { dir, config: { storage: { durability: 'memory', path: '/nowhere/at/all' } } });
    await hub.call('publish', { channel: 'x', data: 1 });
    assert.deepEqual(await readdir(dir), ['belfry.json']);
  });
});
