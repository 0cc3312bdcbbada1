// The commands that help an operator to begin: genconfig, and making and checking tokens.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import http from 'node:http';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { makeCertificate } from './lib/certificate.mjs';
import { connect, newClient, newSubscription, nextPublication, serverSubscription, subscribe, subscribed } from './lib/client.mjs';
import { belfry, check, temporaryFolder } from './lib/command.mjs';
import { readSchema } from './lib/configuration.mjs';
import { startHub } from './lib/hub.mjs';
import { startProcess } from './lib/process.mjs';
import { makeToken, newKeys, SECRET, secondsFromNow } from './lib/token.mjs';

const BIN = process.env.BELFRY_BIN ?? fileURLToPath(new URL('../../build/release/belfry', import.meta.url));

const partOf = (token, i) => JSON.parse(Buffer.from(token.split('.')[i], 'base64url'));

/** Comments have lines of their own in what genconfig writes. */
const withoutComments = text => JSON.parse(text.replaceAll(/^\s*\/\/.*$/gm, ''));

async function generate(t) {
  const dir = await temporaryFolder(t);
  const file = join(dir, 'belfry.json');
  const { code, text } = await belfry(['genconfig'], { cwd: dir });
  assert.equal(code, 0, text);
  return { dir, file, text, written: await readFile(file, 'utf8') };
}

/** A configuration's file, for commands. */
async function fileOf(t, config) {
  const file = join(await temporaryFolder(t), 'belfry.json');
  await writeFile(file, JSON.stringify(config));
  return file;
}

describe('genconfig', { concurrency: true }, () => {
  test('writes a good configuration for its owner alone, with secrets of its own', async t => {
    const one = await generate(t);
    assert.match(one.text, /^belfry\.json: made, .*\nbelfry serve --config belfry\.json\nbelfry gentoken --config belfry\.json --user 42\n$/);
    assert.equal((await stat(one.file)).mode & 0o777, 0o600);
    assert.equal((await check(t, one.written)).code, 0);
    const { validate } = await readSchema();
    assert.ok(validate(withoutComments(one.written)), JSON.stringify(validate.errors));
    const two = await generate(t);
    const secrets = [one, two].map(({ written }) => withoutComments(written)).flatMap(({ client, http_api: api }) => [client.token.hmac_secret_key, api.key]);
    for (const secret of secrets) {
      assert.match(secret, /^[\w-]{43}$/);
      assert.ok(!one.text.includes(secret) && !two.text.includes(secret), 'it is not printed');
    }
    assert.equal(new Set(secrets).size, 4);
  });

  test('leaves a file alone that is there', async t => {
    const { dir, file, written } = await generate(t);
    const again = await belfry(['genconfig', '--config', file]);
    assert.deepEqual([again.code, again.text], [1, `${file}: there is a file already; it is left as it is\n`]);
    assert.equal(await readFile(file, 'utf8'), written);
    assert.equal((await belfry(['genconfig', '--config', join(dir, 'missing', 'x.json')])).text, `${join(dir, 'missing', 'x.json')}: No such file or directory\n`);
    assert.deepEqual(await readdir(dir), ['belfry.json']);
  });

  test('what it has in comments can be used as it stands', async t => {
    const { dir, file, written } = await generate(t);
    await makeCertificate(dir, { name: 'cert' });
    const used = written.replaceAll(/^( +)\/\/ ( *["{}[\]].*)$/gm, '$1$2').replaceAll(/"(cert|key)\.pem"/g, (_, name) => JSON.stringify(join(dir, name === 'key' ? 'cert.key' : 'cert.pem')));
    const config = withoutComments(used);
    assert.equal(config.feeds[0].upstreams.length, 2);
    assert.ok(config.http_server.tls.enabled && config.$schema && config.client.allowed_origins.length === 3);
    await writeFile(file, used);
    const { code, text } = await belfry(['checkconfig', '--config', file]);
    assert.equal(code, 0, text);
  });

  test('a hub runs with it: a token of gentoken connects, and gets what is published with its key', async t => {
    const { dir, file, written } = await generate(t);
    const child = startProcess(BIN, ['serve', '--config', file], { cwd: dir, env: { BELFRY_HTTP_SERVER_PORT: '0' }, label: 'hub' });
    t.after(() => child.end('SIGTERM'));
    const [, port] = / port=(\d+)/.exec(await child.waitForLine(line => line.includes(' server listening ')));
    const token = (await belfry(['gentoken', '--config', file, '--user', '42', '--quiet'])).text.trim();
    const client = newClient(t, `ws://127.0.0.1:${port}/connection/websocket`, { token });
    await connect(client);
    const subscription = newSubscription(client, 'news:all');
    await subscribe(subscription);
    const { http_api: api } = withoutComments(written);
    const answer = execFileSync('curl', ['-s', '-H', `X-API-Key: ${api.key}`, '-d', '{"channel":"news:all","data":{"text":"Hello"}}', `http://127.0.0.1:${port}/api/publish`], { encoding: 'utf8' });
    assert.ok(JSON.parse(answer).result.offset === 1, answer);
    assert.deepEqual((await nextPublication(subscription)).data, { text: 'Hello' });
    assert.equal(execFileSync('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', `http://127.0.0.1:${port}/health`], { encoding: 'utf8' }), '200');
  });
});

describe('comments in a configuration', { concurrency: true }, () => {
  test('are as in C, but for texts', async t => {
    assert.equal((await check(t, '// a\n{ /* b\n*/ "http_api": { "key": "http://x/*" } // c\n}\n/**/')).code, 0);
    assert.match((await check(t, '// a\n{\n  /* b */ "http_sever": {} }')).text, /^config\.json: http_sever: unknown key/);
  });

  test('move no place in a message, and must have an end', async t => {
    for (const [config, place] of [
      ['/* a\n   b */ {\n  "log": /* ä */ info\n}', 'line 3, column 21: '],
      ['{\n  "log": {} /* {}\n}', 'line 2, column 13: a comment that begins here with /* has no */'],
      ['{} # no', 'line 1, column 4: '],
    ]) {
      const { code, text } = await check(t, config);
      assert.ok(code === 1 && text.startsWith(`config.json: ${place}`), text);
    }
  });

  test('are not taken from backends', async t => {
    const hub = await startHub(t);
    assert.equal((await hub.api('publish', '{"channel":"x","data":1 /* no */}')).status, 400);
  });
});

const keys = token => ({ client: { token } });

test('what cannot be written is no success', async t => {
  const file = await fileOf(t, keys({ hmac_secret_key: SECRET }));
  for (const command of [`gentoken --config ${file}`, `checktoken --config ${file} ${makeToken({})}`, 'configschema', 'defaultconfig']) {
    const { status, stderr } = spawnSync('sh', ['-c', `"$0" ${command} > /dev/full`, BIN], { encoding: 'utf8' });
    assert.equal(status, 1, command);
    assert.match(stderr, /it could not be written: No space left on device\n$/);
  }
});

describe('gentoken and gensubtoken', { concurrency: true }, () => {
  test('make tokens that the hub takes, with all that is asked for', async t => {
    const hub = await startHub(t, { config: { client: { token: { hmac_secret_key: SECRET, audience: 'site', issuer: 'me' } }, channel: { namespaces: [{ name: 'news', presence: true, allow_presence_for_subscriber: true }] } } });
    const file = join(hub.dir, 'belfry.json');
    const made = await belfry(['gentoken', '-c', file, '-u', '42', '-t', '1h30m', '--info', '{"name": "Ada", "n": 1.10}', '--channels', 'news:a news:b', '--meta', '{}', '-a', 'HS512']);
    assert.equal(made.code, 0, made.text);
    assert.match(made.text, /^HS512 token for user "42", good until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(in 1h30m\)\n/);
    const claims = partOf(made.out, 1);
    assert.deepEqual({ ...claims, iat: 0, exp: claims.exp - claims.iat }, { sub: '42', iat: 0, exp: 5400, aud: 'site', iss: 'me', info: { name: 'Ada', n: 1.1 }, meta: {}, channels: ['news:a', 'news:b'] });
    assert.deepEqual(partOf(made.out, 0), { alg: 'HS512', typ: 'JWT' });
    assert.ok(Buffer.from(made.out.split('.')[1], 'base64url').includes('"n": 1.10'), 'byte for byte');
    const client = newClient(t, hub, { token: made.out.trim() });
    await Promise.all([...['news:a', 'news:b'].map(name => subscribed(serverSubscription(client, name))), connect(client)]);

    const sub = await belfry(['gensubtoken', '-c', file, '-u', '42', '-s', 'news:c', '-q', '--data', '[1]']);
    assert.equal(sub.text, sub.out, 'quiet: nothing beside the token');
    const subscription = newSubscription(client, 'news:c', { token: sub.out.trim() });
    assert.deepEqual((await subscribe(subscription)).data, [1]);
  });

  test('times: seconds, durations, never; a week by default', async t => {
    const file = await fileOf(t, keys({ hmac_secret_key: SECRET }));
    const span = async (...args) => {
      const { code, out, text } = await belfry(['gentoken', '--config', file, ...args]);
      assert.equal(code, 0, text);
      const { iat, exp, sub } = partOf(out, 1);
      assert.equal(sub, undefined);
      return exp && exp - iat;
    };
    assert.deepEqual(await Promise.all([span(), span('--ttl', '60'), span('--ttl', '2h'), span('--ttl', 'never'), span('--ttl', '-1')]), [604800, 60, 7200, undefined, undefined]);
  });

  test('use the keys of subscription_token where it has its own', async t => {
    const file = await fileOf(t, { client: { token: { hmac_secret_key: SECRET }, subscription_token: { enabled: true, hmac_secret_key: 'another', user_id_claim: 'uid' } } });
    const { out } = await belfry(['gensubtoken', '--config', file, '--channel', 'x', '--user', '42', '--client', 'c1']);
    assert.deepEqual([partOf(out, 1).uid, partOf(out, 1).channel, partOf(out, 1).client], ['42', 'x', 'c1']);
    assert.equal((await belfry(['checksubtoken', '--config', file, out.trim()])).code, 0);
    assert.match((await belfry(['checktoken', '--config', file, out.trim()])).text, /^not valid: the signature is wrong\n/);
  });

  test('say why there can be none', async t => {
    const cases = [
      [keys({}), /^no token can be made with client\.token: there is no hmac_secret_key\n$/],
      [keys({ rsa_public_key: newKeys('RS256').pem }), /there is no hmac_secret_key, and public keys only verify: who has the private key signs\n$/],
      [keys({ hmac_secret_key: SECRET, jwks_public_endpoint: 'http://127.0.0.1:1/' }), /tokens are verified by the key set of jwks_public_endpoint alone/],
      [keys({ hmac_secret_key: SECRET, audience_regex: '^site-' }), /^the hub would refuse such a token: it is for another audience\n$/],
      [{ log: { level: 'loud' } }, /log\.level: "loud" is not one of/],
    ];
    for (const [config, pattern] of cases) {
      const { code, text, out } = await belfry(['gentoken', '--config', await fileOf(t, config), '--user', '42']);
      assert.deepEqual([code, out], [1, ''], text);
      assert.match(text, pattern);
    }
    const file = await fileOf(t, keys({ hmac_secret_key: SECRET, audience_regex: '^site-' }));
    assert.equal((await belfry(['gentoken', '--config', file, '--audience', 'site-1', '--issuer', 'me'])).code, 0);
  });

  test('2 for what is no option, no JSON, no time, no algorithm', async t => {
    const file = await fileOf(t, keys({ hmac_secret_key: SECRET }));
    const cases = [
      [['gentoken'], /--config FILE is missing/],
      [['gentoken', '--config', file, '--info', '{'], /--info is not JSON/],
      [['gentoken', '--config', file, '--meta', '[]'], /--meta is not a JSON object/],
      [['gentoken', '--config', file, '--ttl', '1d'], /--ttl is not "never", a duration/],
      [['gentoken', '--config', file, '--ttl', '0'], /--ttl is not/],
      [['gentoken', '--config', file, '--ttl', '99999999999999999999'], /--ttl is not/],
      [['gentoken', '--config', file, '--algorithm', 'RS256'], /--algorithm is not one of HS256, HS384, HS512/],
      [['gentoken', '--config', file, '--client', 'x'], /is not one of its options/],
      [['gensubtoken', '--config', file], /--channel NAME is missing/],
      [['gensubtoken', '--config', file, '--channel', 'x', 'y'], /"y" is one argument too many/],
      [['checktoken', '--config', file], /belfry checktoken: TOKEN is missing/],
      [['checktoken', '--config', file, ''], /TOKEN is missing/],
      [['checktoken', '--config', file, 'a', 'b'], /"b" is one argument too many/],
    ];
    for (const [args, pattern] of cases) {
      const { code, text, out } = await belfry(args);
      assert.deepEqual([code, out], [2, ''], `${args.join(' ')}: ${text}`);
      assert.match(text, pattern);
    }
    assert.match((await belfry(['checktoken', '--help'])).out, /^usage: belfry checktoken --config FILE TOKEN\n/);
  });
});

describe('checktoken and checksubtoken', { concurrency: true }, () => {
  const verdict = async (file, token, command = 'checktoken') => {
    const { code, text, out } = await belfry([command, '--config', file, token]);
    assert.equal(out === '', code !== 0, 'what is wrong is said on stderr');
    return { code, text };
  };

  test('say whose a good one is, and print its claims', async t => {
    const file = await fileOf(t, keys({ hmac_secret_key: SECRET }));
    const good = makeToken('{"sub":"4\\"2","exp":4000000000,"info":{"n":1.10}}');
    assert.match((await verdict(file, good)).text, /^valid token for user "4\\"2", good until 2096-10-02T07:06:40Z \(in \d+d\d+h\)\nclaims: \{"sub":"4\\"2","exp":4000000000,"info":\{"n":1\.10\}\}\n$/);
    assert.match((await verdict(file, makeToken({}))).text, /^valid token for the anonymous user, without an end\nclaims: \{\}\n$/);
    assert.match((await verdict(file, makeToken({ channel: 'x' }), 'checksubtoken')).text, /^valid token for the anonymous user and channel "x"/);
    const piped = execFileSync(BIN, ['checktoken', '--config', file, '-'], { input: `${good}\n`, encoding: 'utf8' });
    assert.match(piped, /^valid token/);
  });

  test('print nothing of a token that a terminal would obey', async t => {
    const file = await fileOf(t, keys({ hmac_secret_key: SECRET }));
    for (const secret of [SECRET, 'another']) {
      const { text } = await verdict(file, makeToken('{"sub":"a\u009b2J\u007f\u0080b\u00a0\u00e4"}', { secret }));
      assert.match(text, /claims[^:]*: \{"sub":"a\\u009b2J\\u007f\\u0080b\u00a0\u00e4"\}\n/);
      assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    }
  });

  test('say exactly what is wrong with a bad one', async t => {
    const pem = newKeys('RS256').pem;
    const file = await fileOf(t, keys({ hmac_secret_key: SECRET, rsa_public_key: pem, audience: 'site', issuer_regex: '^me' }));
    const fine = { sub: '42', aud: ['site'], iss: 'me' };
    const cases = [
      [makeToken({ ...fine, exp: secondsFromNow(-3700) }), /^not valid: expired since \d{4}-.*Z \(1h1m ago\)\n/],
      [makeToken({ ...fine, nbf: secondsFromNow(130) }), /^not valid: not good before \d{4}-.*Z \(in 2m\d+s\)\n/],
      [makeToken(fine, { secret: 'other' }), /^not valid: the signature is wrong\nheader: \{"alg":"HS256","typ":"JWT"\}\nclaims, which nobody vouches for: \{"sub":"42",/],
      [makeToken(fine, { alg: 'ES256', key: newKeys('ES256').privateKey }), /^not valid: no key for its algorithm\nheader: \{"alg":"ES256"[^]*\nkeys of client\.token: HS256, HS384, HS512 \(hmac_secret_key\), RS256, RS384, RS512 \(rsa_public_key\)\n/],
      [makeToken({ ...fine, aud: 'other' }), /^not valid: it is for another audience\n[^]*\naud is "other", expected "site"\n/],
      [makeToken({ ...fine, iss: undefined }), /^not valid: it is of another issuer\n[^]*\niss is absent, expected a text in which is found "\^me"\n/],
      [makeToken(fine, { alg: 'none' }), /^not valid: its algorithm is not supported\n|^not valid: it is not signed\n/],
      [makeToken({ ...fine, channel: 'x' }), /^not valid: it is a subscription token\n/],
      ['x', /^not valid: it has not three parts\nkeys of /],
      ['x.y.z', /^not valid: its header is no JSON object in base64url\nkeys of /],
    ];
    for (const [token, pattern] of cases) {
      const { code, text } = await verdict(file, token);
      assert.equal(code, 1);
      assert.match(text, pattern);
      assert.ok(!text.includes(SECRET));
    }
    assert.match((await verdict(file, makeToken(fine), 'checksubtoken')).text, /^not valid: it names no channel\n/);
    assert.match((await verdict(await fileOf(t, {}), makeToken(fine))).text, /^not valid: no key is configured\n[^]*keys of client\.token: none\n/);
  });

  test('think as the hub does of anonymous users, and of signatures that nobody looks at', async t => {
    const anonymous = await fileOf(t, { client: { disallow_anonymous_connection_tokens: true, token: { hmac_secret_key: SECRET } } });
    assert.match((await verdict(anonymous, makeToken({}))).text, /^not valid: it has no user, and client\.disallow_anonymous_connection_tokens is true\n/);
    const insecure = await fileOf(t, { client: { insecure_skip_token_signature_verify: true } });
    assert.match((await verdict(insecure, makeToken({ sub: '42' }, { secret: 'any' }))).text, /^valid token for user "42", without an end\nits signature was not looked at: /);
  });

  test('fetch the key set that the configuration names', async t => {
    const pair = newKeys('ES256');
    const server = http.createServer((incoming, outgoing) => outgoing.end(JSON.stringify({ keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'a' }] })));
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    t.after(() => { server.closeAllConnections(); server.close(); });
    const file = await fileOf(t, keys({ jwks_public_endpoint: `http://127.0.0.1:${server.address().port}/` }));
    const signed = kid => makeToken({ sub: '42' }, { alg: 'ES256', kid, key: pair.privateKey });
    assert.match((await verdict(file, signed('a'))).text, /^valid token for user "42"/);
    assert.match((await verdict(file, signed('b'))).text, /^not valid: the key set has no such key for its algorithm\n/);
    const nobody = await fileOf(t, keys({ jwks_public_endpoint: 'http://127.0.0.1:1/' }));
    assert.match((await verdict(nobody, signed('a'))).text, /not valid: the key set cannot be fetched\n/);
  });
});
