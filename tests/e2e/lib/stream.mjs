// The HTTP transports without an SDK: one response that does not end, and commands by POST /emulation.
//
//   const stream = await openStream(t, hub, 'http_stream');          // sends connect as its first command
//   const stream = await openStream(t, hub, 'sse', { connect: { token }, headers });
//   const stream = await openStream(t, hub, 'uni_sse', { connect: {} });    // the connect request itself
//       { path, method, body }: another request; fails unless it is answered with 200
//   stream.connected                          // the connect reply's result, or the connect push's content
//   stream.headers
//   const message = await stream.next();      // the next message that is no ping, in order
//   await stream.nextPing()
//   const reply = await stream.call('subscribe', { channel })       // by /emulation; the reply with its id
//   await stream.send(text)                   // commands as text; the status of the answer
//   await stream.ended                        // the response has ended; an error if it was cut
//   stream.destroy()                          // without a word
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';

import { Inbox } from './inbox.mjs';
import { checkExchange } from './openapi.mjs';
import { within } from './process.mjs';

class Stream {
  log = [];
  #hub;
  #incoming;
  #messages = new Inbox();
  #pings = new Inbox();
  #text = '';
  #ended;
  #lastId = 1;

  constructor(hub, incoming, isSse) {
    this.#hub = hub;
    this.#incoming = incoming;
    this.headers = incoming.headers;
    incoming.setEncoding('utf8');
    incoming.on('data', text => {
      const lines = (this.#text + text).split('\n');
      this.#text = lines.pop();
      for (const line of lines) this.#take(line, isSse);
    });
    this.#ended = new Promise((resolve, reject) => {
      incoming.once('end', resolve);
      incoming.once('error', reject);
      incoming.once('close', () => this.#end());
    });
    this.#ended.catch(() => {});
  }

  #end() {
    for (const inbox of [this.#messages, this.#pings]) inbox.end(new Error(`the stream ended after ${JSON.stringify(this.log.at(-1))}`));
  }

  #take(line, isSse) {
    if (isSse && (line === '' || line === '\r')) return;
    if (isSse) assert.match(line, /^data: /);
    const message = JSON.parse(isSse ? line.slice('data: '.length) : line);
    this.log.push(message);
    (Object.keys(message).length === 0 ? this.#pings : this.#messages).put(message);
  }

  next() { return this.#messages.next('a message'); }
  nextPing() { return this.#pings.next('a ping'); }
  get ended() { return within(this.#ended, 'the end of the stream'); }

  async send(data, { session = this.connected.session, node = this.connected.node } = {}) {
    const { status } = await this.#hub.request('POST', '/emulation', { body: { session, node, data } });
    return status;
  }

  async call(method, params = {}) {
    const id = ++this.#lastId;
    assert.equal(await this.send(JSON.stringify({ id, [method]: params })), 204);
    let message;
    do message = await this.next(); while (message.id !== id);
    return message;
  }

  destroy() { this.#incoming.destroy(); }
}

function requestOf(transport, { connect, path, method, body }) {
  const isUni = transport.startsWith('uni_');
  const text = JSON.stringify(isUni ? connect : { id: 1, connect });
  const isGet = (method ?? (transport.endsWith('sse') ? 'GET' : 'POST')) === 'GET';
  const query = isGet ? `?cf_connect=${encodeURIComponent(body ?? text)}` : '';
  return { path: path ?? `/connection/${transport}${query}`, method: isGet ? 'GET' : 'POST', body: isGet ? undefined : body ?? text };
}

export async function openStream(t, hub, transport, { connect = {}, headers = {}, ...options } = {}) {
  const { path, method, body } = requestOf(transport, { connect, ...options });
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
  const outgoing = (hub.ca ? https : http).request({
    host: '127.0.0.1', port: hub.port, path, method, agent: false, ca: hub.ca, headers: { ...length, ...headers },
  });
  t?.after(() => outgoing.destroy());
  const incoming = await within(new Promise((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.once('error', reject);
    outgoing.end(body);
  }), `the head of ${path}`);
  assert.equal(incoming.statusCode, 200, `${path}: ${incoming.statusCode}`);
  checkExchange({ method, path, isOdd: true }, { status: 200, headers: incoming.headers, text: '' });
  const stream = new Stream(hub, incoming, transport.endsWith('sse'));
  outgoing.on('error', () => {}); // after the test it is destroyed
  if (connect) {
    const message = await stream.next();
    stream.connected = message.connect;
    assert.ok(stream.connected, JSON.stringify(message));
  }
  return stream;
}
