// TLS on the port: the same hub behind it, what is negotiated, and who must not do harm.
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import tls from 'node:tls';
import { setTimeout as delay } from 'node:timers/promises';

import { makeCertificate, openssl, tlsConfig } from './lib/certificate.mjs';
import { connect, newClient, newSubscription, nextPublication, subscribe } from './lib/client.mjs';
import { check, serveToEnd, temporaryFolder } from './lib/command.mjs';
import { merged, startHub } from './lib/hub.mjs';
import { within } from './lib/process.mjs';
import { frame, head, openRawClient, openTcp } from './lib/raw.mjs';
import { openSession } from './lib/session.mjs';

const SHUTDOWN = { code: 3001, reason: 'shutdown' };

async function startTlsHub(t, config = {}) {
  const certificate = await makeCertificate(await temporaryFolder(t));
  const whole = merged(merged(tlsConfig(certificate), { client: { insecure: true } }), config);
  return startHub(t, { config: whole, ca: certificate.ca });
}

const serves = async hub => assert.equal((await hub.request('GET', '/health')).status, 200);

/** A TLS connection of its own; rejects when the handshake fails. */
function handshake(t, hub, options = {}) {
  const socket = tls.connect({ port: hub.port, host: '127.0.0.1', ca: hub.ca, ...options });
  t.after(() => socket.destroy());
  const done = new Promise((resolve, reject) => {
    socket.once('secureConnect', () => resolve(socket));
    socket.on('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
  return within(done, 'a TLS handshake');
}

/** What the hub sends back to these bytes on a plain connection, until it ends it. */
function answerTo(t, hub, bytes) {
  const socket = net.connect({ port: hub.port, host: '127.0.0.1' });
  t.after(() => socket.destroy());
  const parts = [];
  socket.on('data', part => parts.push(part));
  socket.on('error', () => {}); // a reset is an end too
  socket.once('connect', () => socket.write(bytes));
  const closed = new Promise(resolve => socket.once('close', () => resolve(Buffer.concat(parts))));
  return within(closed, 'the end of the connection');
}

const descriptors = async hub => (await readdir(`/proc/${hub.pid}/fd`)).length;

/** Waits until the hub has let go of all connections but n. */
async function descriptorsFallTo(hub, n) {
  const until = Date.now() + 30_000;
  while ((await descriptors(hub)) > n) {
    assert.ok(Date.now() < until, `${await descriptors(hub)} descriptors instead of ${n}`);
    await delay(20);
  }
}

describe('behind TLS', { concurrency: true }, () => {
  test('the npm client subscribes over wss, a backend publishes over https', async t => {
    const hub = await startTlsHub(t);
    const client = newClient(t, hub);
    await connect(client);
    const sub = newSubscription(client, 'news');
    await subscribe(sub);
    await hub.call('publish', { channel: 'news', data: { text: 'sealed' } });
    assert.deepEqual((await nextPublication(sub)).data, { text: 'sealed' });
  });

  test('large uploads arrive whole, up to http_server.max_request_body_size', async t => {
    const hub = await startTlsHub(t);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'a' });
    const around = JSON.stringify({ channel: 'a', data: '' }).length;
    for (const size of [16_384, 900_000, 1_048_576]) {
      const data = 'x'.repeat(size - around);
      await hub.call('publish', { channel: 'a', data });
      assert.equal((await session.nextPush()).pub.data, data);
    }
    const { status, text } = await hub.api('publish', { channel: 'a', data: 'x'.repeat(1_048_577 - around) });
    assert.deepEqual([status, text], [413, 'the body is larger than http_server.max_request_body_size\n']);
    await serves(hub);
  });

  const MEGABYTES = 6_000_000;
  const wide = { http_server: { max_request_body_size: 8_000_000 }, client: { queue_max_size: 100_000_000 } };

  test('uploads of several megabytes arrive whole in one go, for one channel and for many', async t => {
    const hub = await startTlsHub(t, wide);
    const session = await openSession(t, hub);
    const channels = ['a', 'b', 'c'];
    for (const channel of channels) await session.ok('subscribe', { channel });
    const data = 'x'.repeat(MEGABYTES);
    await hub.call('publish', { channel: 'a', data });
    assert.ok((await session.nextPush()).pub.data === data);
    const { responses } = await hub.call('broadcast', { channels, data });
    assert.deepEqual(responses, channels.map(() => ({ result: {} })));
    for (const _ of channels) assert.ok((await session.nextPush()).pub.data === data);
  });

  test('uploads of several megabytes arrive whole in pieces of all sizes, while others are served', async t => {
    const hub = await startTlsHub(t, wide);
    const session = await openSession(t, hub);
    await session.ok('subscribe', { channel: 'a' });
    const data = 'x'.repeat(MEGABYTES);
    const body = Buffer.from(JSON.stringify({ channel: 'a', data }));
    const sizes = [1, 2, 100, 1369, 4096, 16_383, 16_384, 16_385, 16_640, 32_768, 65_536, 100_000, 262_144];
    const tcp = await openTcp(hub);
    tcp.write(head('POST', '/api/publish', { 'X-API-Key': hub.key, 'Content-Length': body.length }));
    for (let at = 0, i = 0; at < body.length; at += sizes[i % sizes.length], i += 1) {
      await tcp.write(body.subarray(at, at + sizes[i % sizes.length]));
      if (i % 5 === 0) await session.call('rpc', {}); // the hub has had its turns meanwhile
    }
    assert.equal((await tcp.response()).status, 200);
    assert.ok((await session.nextPush()).pub.data === data);
  });

  test('a slow reader gets all of many large messages, in order', async t => {
    const hub = await startTlsHub(t, { client: { queue_max_size: 100_000_000 } });
    const slow = await openSession(t, hub, { pongs: false });
    await slow.ok('subscribe', { channel: 'a' });
    slow.ws._socket.pause();
    const texts = Array.from({ length: 45 }, (_, i) => `${i} ${'x'.repeat(i % 3 === 0 ? i : 10_000 * i)}`);
    for (const data of texts) await hub.call('publish', { channel: 'a', data });
    assert.ok(texts.join('').length > 6_000_000, 'more than the kernel keeps');
    slow.ws._socket.resume();
    for (const data of texts) assert.ok((await slow.nextPush()).pub.data === data, `message ${data.slice(0, 3)}`);
    await slow.call('rpc', {}); // it still answers
  });

  // A client so far ahead is not read from for a while, in the midst of a TLS record.
  const commands = Array.from({ length: 5000 }, (_, i) => `{"id":${i + 2},"publish":{"channel":"a","data":${i + 1}}}`);
  const kept = { channel: { without_namespace: { history_size: 10_000, history_ttl: '1h' } }, client: { history_max_publication_limit: 10_000 } };
  const inOrder = Array.from({ length: commands.length }, (_, i) => i + 1);

  test('5,000 commands in few messages are answered, and in order', async t => {
    const hub = await startTlsHub(t, kept);
    const session = await openSession(t, hub);
    for (let i = 0; i < commands.length; i += 1000) session.send(commands.slice(i, i + 1000).join('\n'));
    await session.replyTo(commands.length + 1);
    const { publications } = await hub.call('history', { channel: 'a', limit: -1 });
    assert.deepEqual(publications.map(({ data }) => data), inOrder);
  });

  test('5,000 commands in one burst of small messages too', async t => {
    const hub = await startTlsHub(t, kept);
    const ws = await openRawClient(hub);
    ws.write(Buffer.concat(commands.map(command => frame(command))));
    const ids = [];
    while (ids.length < commands.length) ids.push(...(await ws.text()).split('\n').map(line => JSON.parse(line).id - 1));
    assert.deepEqual(ids, inOrder);
  });

  test('200 clients at once; the end says 3001 to all of them', async t => {
    const hub = await startTlsHub(t);
    const sessions = await Promise.all(Array.from({ length: 200 }, () => openSession(t, hub)));
    await Promise.all(sessions.map(session => session.ok('subscribe', { channel: 'a' })));
    await hub.call('publish', { channel: 'a', data: 1 });
    for (const session of sessions) assert.equal((await session.nextPush()).pub.data, 1);
    const half = net.connect({ port: hub.port, host: '127.0.0.1' }); // says nothing at all
    t.after(() => half.destroy());
    half.on('error', () => {});
    await new Promise(resolve => half.once('connect', resolve));
    hub.signal('SIGTERM');
    assert.deepEqual(await Promise.all(sessions.map(({ closed }) => closed)), Array(200).fill(SHUTDOWN));
    assert.deepEqual(await hub.exited, { code: 0, signal: null });
  });

  test('the environment can switch it on', async t => {
    const { certFile, keyFile, ca } = await makeCertificate(await temporaryFolder(t), { algorithm: 'rsa:2048' });
    const env = { BELFRY_HTTP_SERVER_TLS_ENABLED: 'true', BELFRY_HTTP_SERVER_TLS_CERT_PEM_FILE: certFile, BELFRY_HTTP_SERVER_TLS_KEY_PEM_FILE: keyFile };
    await serves(await startHub(t, { env, ca }));
  });
});

describe('what is negotiated', { concurrency: true }, () => {
  test('TLS 1.3 and 1.2, with forward secrecy', async t => {
    const hub = await startTlsHub(t);
    for (const version of ['TLSv1.3', 'TLSv1.2']) {
      const socket = await handshake(t, hub, { minVersion: version, maxVersion: version });
      assert.equal(socket.getProtocol(), version);
      assert.match(socket.getCipher().standardName, version === 'TLSv1.3' ? /^TLS_/ : /^TLS_ECDHE_ECDSA_WITH_(AES_\d+_GCM|CHACHA20)/);
      assert.equal(socket.getEphemeralKeyInfo().type, 'ECDH');
    }
  });

  test('nothing older, and no ciphers that are not authenticated', async t => {
    const hub = await startTlsHub(t);
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
    await assert.rejects(handshake(t, hub, old), /alert protocol version/);
    const weak = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA:AES128-SHA@SECLEVEL=0' };
    await assert.rejects(handshake(t, hub, weak), /alert handshake failure/);
    await hub.waitForLine(line => / tls alert by=server text=/.test(line));
  });

  test('HTTP/1.1, never HTTP/2', async t => {
    const hub = await startTlsHub(t);
    assert.equal((await handshake(t, hub, { ALPNProtocols: ['h2', 'http/1.1'] })).alpnProtocol, 'http/1.1');
    assert.equal((await handshake(t, hub, { ALPNProtocols: ['h2'] })).alpnProtocol, false);
  });

  test('no renegotiation, no resumption', async t => {
    const hub = await startTlsHub(t);
    const socket = await handshake(t, hub, { maxVersion: 'TLSv1.2' });
    assert.equal(socket.getTLSTicket(), undefined);
    const refused = new Promise(resolve => socket.once('error', resolve));
    socket.renegotiate({}, () => {});
    assert.match(String(await within(refused, 'an answer to a renegotiation')), /no renegotiation/);
    await serves(hub);
  });
});

describe('another certificate', { concurrency: true }, () => {
  const nameOf = async (t, hub, ca) => {
    const socket = await handshake(t, hub, { ca });
    const { CN } = socket.getPeerCertificate().subject;
    socket.destroy();
    return CN;
  };

  test('is shown to who comes after SIGHUP; none of 1,000 connections drops', async t => {
    const dir = await temporaryFolder(t);
    const [old, fresh, other] = await Promise.all([makeCertificate(dir, { name: 'old' }), makeCertificate(dir, { name: 'fresh' }), makeCertificate(dir, { name: 'other', algorithm: 'rsa:2048' })]);
    const hub = await startHub(t, { config: merged(tlsConfig(old), { client: { insecure: true } }), ca: old.ca });
    const sessions = [];
    while (sessions.length < 1000) sessions.push(...await Promise.all(Array.from({ length: 100 }, () => openSession(t, hub))));
    const ended = [];
    for (const session of sessions) session.closed.then(why => ended.push(why), () => {});
    await Promise.all(sessions.map(session => session.ok('subscribe', { channel: 'a' })));
    let n = 0;
    const assertAllThere = async ca => {
      n += 1;
      const { status } = await hub.request('POST', '/api/publish', { ca, headers: { 'x-api-key': hub.key }, body: { channel: 'a', data: n } });
      assert.equal(status, 200);
      for (const session of sessions) assert.equal((await session.nextPush()).pub.data, n);
      await Promise.all(sessions.map(session => session.call('rpc', {})));
      assert.deepEqual(ended, []);
    };
    await assertAllThere(old.ca);
    for (const next of [fresh, other, fresh]) { // other has a key of another kind
      const lines = await hub.reload(tlsConfig(next));
      assert.match(lines.at(-1), / reload reloaded /);
      assert.equal(await nameOf(t, hub, next.ca), `Belfry test ${next === other ? 'other' : 'fresh'}`);
      await assert.rejects(handshake(t, hub, { ca: old.ca }), /self-signed certificate/);
      await assertAllThere(next.ca);
    }
    assert.ok((await hub.reload(tlsConfig({ ...fresh, keyFile: old.keyFile }))).some(line => / config_error .*http_server\.tls\.key_pem_file/.test(line)));
    assert.equal(await nameOf(t, hub, fresh.ca), 'Belfry test fresh');
    await assertAllThere(fresh.ca);
  });

  test('the log says whose it is and until when it is good', async t => {
    const hub = await startTlsHub(t);
    const [line] = hub.lines.filter(text => / tls certificate /.test(text));
    assert.match(line, / info tls certificate subject="\/CN=Belfry test hub" good_until=20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  });
});

describe('who does not speak it', { concurrency: true }, () => {
  const clientHello = Buffer.from('160301020001', 'hex'); // a record of 512 bytes that does not go on

  test('plain HTTP and garbage are cut, and leave nothing', async t => {
    const hub = await startTlsHub(t);
    await serves(hub);
    const n = await descriptors(hub);
    for (let round = 0; round < 20; round += 1) {
      const answers = await Promise.all([
        answerTo(t, hub, 'GET /health HTTP/1.1\r\nHost: a\r\n\r\n'),
        answerTo(t, hub, Buffer.alloc(100_000, 0xff)),
        answerTo(t, hub, Buffer.concat([clientHello, Buffer.alloc(511, 0xff)])),
      ]);
      for (const answer of answers) assert.doesNotMatch(answer.toString('latin1'), /HTTP/);
    }
    await descriptorsFallTo(hub, n);
    await serves(hub);
  });

  test('plain HTTP is in the log, garbage is not', async t => {
    const hub = await startTlsHub(t);
    await answerTo(t, hub, Buffer.alloc(100, 0xff));
    assert.ok(!hub.lines.some(line => / tls plain_http /.test(line)));
    await answerTo(t, hub, 'POST /api/info HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n');
    await hub.waitForLine(line => / info tls plain_http expected="https: or wss: in the client's URL"/.test(line));
  });

  test('who leaves in the midst of a handshake leaves nothing', async t => {
    const hub = await startTlsHub(t);
    await serves(hub);
    const n = await descriptors(hub);
    const sockets = await Promise.all(Array.from({ length: 50 }, (_, i) => new Promise(resolve => {
      const socket = net.connect({ port: hub.port, host: '127.0.0.1' }, () => {
        if (i % 2) socket.write(clientHello);
        resolve(socket);
      });
    })));
    for (const [i, socket] of sockets.entries()) {
      if (i % 3 === 0) socket.resetAndDestroy();
      else socket.destroy();
    }
    await descriptorsFallTo(hub, n);
    await serves(hub);
  });

  test('who does not go on is cut', async t => {
    const hub = await startTlsHub(t);
    await serves(hub);
    const n = await descriptors(hub);
    await Promise.all([answerTo(t, hub, ''), answerTo(t, hub, clientHello)]);
    await descriptorsFallTo(hub, n);
  });

  test('a client that does not trust the certificate is in the log', async t => {
    const hub = await startTlsHub(t);
    await assert.rejects(openssl('s_client', '-connect', `127.0.0.1:${hub.port}`, '-verify_return_error'), /self-signed certificate/);
    await hub.waitForLine(line => / tls alert by=client text="unknown CA"/.test(line));
    await serves(hub);
  });
});

describe('wrong files', { concurrency: true }, () => {
  const cases = {
    'no file': [{}, /^config\.json: http_server\.tls\.cert_pem_file: the default "" is not the file of a certificate, when enabled is true$/],
    'no key': [{ cert_pem_file: 'hub.pem' }, /http_server\.tls\.key_pem_file: the default "" is not the file of a private key, when enabled is true$/],
    'a missing certificate': [{ cert_pem_file: 'missing.pem', key_pem_file: 'hub.key' }, /http_server\.tls\.cert_pem_file: "missing\.pem" is not a file that can be read \(No such file or directory\)$/],
    'a missing key': [{ cert_pem_file: 'hub.pem', key_pem_file: 'missing.key' }, /http_server\.tls\.key_pem_file: "missing\.key" is not a file that can be read \(No such file or directory\)$/],
    'a folder': [{ cert_pem_file: '.', key_pem_file: 'hub.key' }, /cert_pem_file: "\." is not a file that can be read \(Is a directory\)$/],
    'an empty certificate': [{ cert_pem_file: 'empty', key_pem_file: 'hub.key' }, /cert_pem_file: "empty" is not a certificate in PEM, .* \(no start line\)$/],
    'a key for a certificate': [{ cert_pem_file: 'hub.key', key_pem_file: 'hub.key' }, /cert_pem_file: "hub\.key" is not a certificate in PEM/],
    'a certificate for a key': [{ cert_pem_file: 'hub.pem', key_pem_file: 'hub.pem' }, /key_pem_file: "hub\.pem" is not a private key in PEM, without a passphrase/],
    'a key with a passphrase': [{ cert_pem_file: 'hub.pem', key_pem_file: 'locked.key' }, /key_pem_file: "locked\.key" is not a private key in PEM, without a passphrase/],
    'a key of another certificate': [{ cert_pem_file: 'hub.pem', key_pem_file: 'other.key' }, /key_pem_file: "other\.key" is not the private key of the certificate in cert_pem_file \(key values mismatch\)$/],
    'a key of another kind': [{ cert_pem_file: 'hub.pem', key_pem_file: 'rsa.key' }, /key_pem_file: "rsa\.key" is not the private key of the certificate in cert_pem_file/],
  };

  test('are told by checkconfig and by a start', async t => {
    const dir = await temporaryFolder(t);
    const { keyFile } = await makeCertificate(dir);
    await makeCertificate(dir, { name: 'other' });
    await makeCertificate(dir, { name: 'rsa', algorithm: 'rsa:2048' });
    await openssl('ec', '-in', keyFile, '-aes128', '-passout', 'pass:word', '-out', join(dir, 'locked.key'));
    await writeFile(join(dir, 'empty'), '');
    for (const [what, [files, pattern]] of Object.entries(cases)) {
      await t.test(what, async tt => {
        const config = { http_server: { port: 0, tls: { enabled: true, ...files } } };
        for (const run of [check, serveToEnd]) {
          const { code, text } = await run(tt, config, { dir });
          assert.equal(code, 1, text);
          assert.match(text.trim(), pattern);
        }
        const { code } = await check(tt, { http_server: { tls: { ...files, enabled: false } } }, { dir });
        assert.equal(code, 0, 'files that are not used are not looked at');
      });
    }
  });

  test('a good pair is', async t => {
    const dir = await temporaryFolder(t);
    await makeCertificate(dir);
    const { code, text } = await check(t, { http_server: { tls: { enabled: true, cert_pem_file: 'hub.pem', key_pem_file: 'hub.key' } } }, { dir });
    assert.deepEqual([code, text], [0, 'config.json: ok\n']);
  });
});
