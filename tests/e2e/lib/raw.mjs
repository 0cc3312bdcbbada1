// TCP connections and WebSocket frames made by hand, for what no client library would send.
//
//   const tcp = await openTcp(hub);              // ended before the hub is; TLS if the hub has it
//                                                // instead of a hub: { port, host, socketPath, ca, atEnd }
//   tcp.write(bytes | text)                     // text: one byte per character; may be awaited: until the kernel has them, or the
//                                                  connection has ended
//   tcp.write(head('POST', '/api/info', { 'Content-Length': 2 }) + '{}')
//   const { status, headers, text, json } = await tcp.response();   // the next HTTP response; headers in lower case
//   await tcp.response({ hasBody: false })      // one to a HEAD: a length, but no body
//   await tcp.responseOrEnd()                   // the same, or null when the connection ends before it
//   await tcp.closed                            // the hub has closed or reset it; bytes that were never read: tcp.rest()
//   await tcp.line()                            // of a body without a length
//   tcp.end()                                   // ends this side only
//   tcp.destroy()                               // closes it without a word
//   tcp.pause() tcp.resume()                    // stop and go on reading, so that the kernel's buffers fill
//
//   const ws = await openWebSocket(hub, { headers: { ... } });   // the same, after the handshake
//   ws.write(frame('text'))                     // frame(payload, { opcode, isFinal, isMasked, lengthBytes, announced })
//   const { opcode, isFinal, payload } = await ws.frame();
//   const { code, reason } = await ws.close()   // the next frame, which must be a Close
//   await ws.say({ id: 1, connect: {} }) -> the next reply: sends one text frame, awaits one
import assert from 'node:assert/strict';
import net from 'node:net';
import tls from 'node:tls';

import { checkExchange } from './openapi.mjs';
import { within } from './process.mjs';

export const TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;
export const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='; // of RFC 6455, section 1.3
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

const MASK = Buffer.from([0x12, 0x34, 0x56, 0x78]);

/** lengthBytes: 1, 3 or 9, the shortest that fits unless given; announced: another length than there is. */
export function frame(payload = '', { opcode = TEXT, isFinal = true, isMasked = true, lengthBytes, announced } = {}) {
  const bytes = Buffer.from(payload);
  const length = announced ?? bytes.length;
  const size = lengthBytes ?? (length < 126 ? 1 : length < 65536 ? 3 : 9);
  const head = Buffer.alloc(1 + size);
  head[0] = (isFinal ? 0x80 : 0) | opcode;
  head[1] = size === 1 ? length : size === 3 ? 126 : 127;
  if (size === 3) head.writeUInt16BE(length, 2);
  if (size === 9) head.writeBigUInt64BE(BigInt(length), 2);
  if (!isMasked) return Buffer.concat([head, bytes]);
  head[1] |= 0x80;
  return Buffer.concat([head, MASK, bytes.map((byte, i) => byte ^ MASK[i % 4])]);
}

export function closeFrame(code, reason = '') {
  const body = Buffer.alloc(2 + Buffer.byteLength(reason));
  body.writeUInt16BE(code);
  body.write(reason, 2);
  return frame(body, { opcode: CLOSE });
}

/** A request's head, with its blank line. headers: a value may be a list; null leaves the header out. */
export function head(method, path, headers = {}, version = ' HTTP/1.1') {
  const lines = Object.entries({ Host: '127.0.0.1', ...headers }).flatMap(([name, value]) => [value].flat().filter(one => one !== null).map(one => `${name}: ${one}`));
  return [`${method} ${path}${version}`, ...lines, '', ''].join('\r\n');
}

export function handshake({ method = 'GET', path = '/connection/websocket', version, headers = {} } = {}) {
  const usual = {
    Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': KEY,
  };
  return head(method, path, { ...usual, ...headers }, version);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const REQUEST_LINE = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (\/\S*) HTTP\/1\.[01]\r$/gm;

/** An upgrade is answered as at the path of a WebSocket, wherever it is asked for. */
function requestsIn(text) {
  const isUpgrade = /^Upgrade:/im.test(text);
  return [...text.matchAll(REQUEST_LINE)].map(([, method, path]) => (isUpgrade ? { method: 'GET', path: '/connection/websocket' } : { method, path, isOdd: true }));
}

class Tcp {
  #socket;
  #asked = []; // what looks like a request, and is not answered yet
  #bytes = Buffer.alloc(0);
  #isEnded = false;
  #closed;
  #wake = () => {};

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', bytes => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      this.#wake();
    });
    socket.once('end', () => {
      this.#isEnded = true;
      this.#wake();
      socket.end();
    });
    socket.once('close', () => { this.#isEnded = true; this.#wake(); });
    socket.on('error', () => {}); // a reset is an end too
    this.#closed = new Promise(resolve => socket.once('close', resolve));
  }

  get closed() { return within(this.#closed, 'the end of the connection'); }
  get isOpen() { return !this.#isEnded; }

  async write(bytes) {
    if (typeof bytes === 'string') this.#asked.push(...requestsIn(bytes));
    const written = new Promise(resolve => this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, resolve));
    if (await written) await this.#closed; // an error
  }

  end() { this.#socket.end(); }
  destroy() { this.#socket.destroy(); }
  pause() { this.#socket.pause(); }
  resume() { this.#socket.resume(); }

  rest() { return this.#bytes; }

  /** Waits until enough(bytes) returns how many of them to take; undefined: not yet. */
  async #take(enough, what) {
    const taken = new Promise((resolve, reject) => {
      this.#wake = () => {
        const n = enough(this.#bytes);
        if (n !== undefined) {
          const part = this.#bytes.subarray(0, n);
          this.#bytes = this.#bytes.subarray(n);
          this.#wake = () => {}; // more may come before the await is over
          resolve(part);
        } else if (this.#isEnded) {
          reject(new Error(`the connection ended before ${what}, after ${JSON.stringify(this.#bytes.toString('latin1'))}`));
        }
      };
      this.#wake();
    });
    try {
      return await within(taken, what);
    } finally {
      this.#wake = () => {};
    }
  }

  bytes(n) { return this.#take(all => (all.length >= n ? n : undefined), `${n} bytes`); }

  async response({ hasBody = true } = {}) {
    const text = (await this.#take(all => {
      const end = all.indexOf('\r\n\r\n');
      return end < 0 ? undefined : end + 4;
    }, 'a response')).toString('latin1');
    const [statusLine, ...lines] = text.trimEnd().split('\r\n');
    assert.match(statusLine, /^HTTP\/1\.[01] \d{3} /); // libwebsockets itself answers with 1.0
    const headers = Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
    const length = hasBody ? Number(headers['content-length'] ?? 0) : 0;
    const body = (await this.bytes(length)).toString();
    const answer = { status: Number(statusLine.split(' ')[1]), headers, text: body, json: parsed(body) };
    this.#check(statusLine, answer);
    return answer;
  }

  /** Held to docs/openapi.json, like any other answer, where it is known what was asked, and where the answer is the hub's own. */
  #check(statusLine, answer) {
    const asked = this.#asked.shift();
    if (asked && statusLine.startsWith('HTTP/1.1 ') && !answer.headers['transfer-encoding']) checkExchange(asked, answer);
  }

  async responseOrEnd(options) {
    await this.#take(all => (all.length > 0 || this.#isEnded ? 0 : undefined), 'a response or the end');
    return this.#bytes.length > 0 ? this.response(options) : null;
  }

  /** Without its end. */
  async line() {
    const text = await this.#take(all => {
      const end = all.indexOf('\n');
      return end < 0 ? undefined : end + 1;
    }, 'a line');
    return text.toString().replace(/\r?\n$/, '');
  }

  async frame() {
    const [first, second] = await this.bytes(2);
    assert.equal(second & 0x80, 0, 'a server masks nothing');
    let length = second & 0x7f;
    if (length === 126) length = (await this.bytes(2)).readUInt16BE();
    else if (length === 127) length = Number((await this.bytes(8)).readBigUInt64BE());
    return { opcode: first & 0x0f, isFinal: (first & 0x80) !== 0, payload: await this.bytes(length) };
  }

  async close() {
    const { opcode, payload } = await this.frame();
    assert.equal(opcode, CLOSE, `expected a Close frame, got ${opcode} ${payload}`);
    return { code: payload.length < 2 ? undefined : payload.readUInt16BE(), reason: payload.subarray(2).toString() };
  }

  async text() {
    const { opcode, payload } = await this.frame();
    assert.equal(opcode, TEXT, `expected a text frame, got ${opcode} ${payload.toString('hex')}`);
    return payload.toString();
  }

  async say(command) {
    this.write(frame(JSON.stringify(command)));
    return JSON.parse(await this.text());
  }
}

export function openTcp(hub) {
  return new Promise((resolve, reject) => {
    // Half open: what the hub does at its side's end must not depend on ours.
    const options = { port: hub.port, host: hub.host ?? '127.0.0.1', path: hub.socketPath, allowHalfOpen: true, noDelay: true, ca: hub.ca };
    const socket = hub.ca ? tls.connect(options) : net.connect(options);
    hub.atEnd(() => socket.destroy()); // it answers no Close, and a hub that ends waits for the answer
    socket.once('error', reject);
    socket.once(hub.ca ? 'secureConnect' : 'connect', () => resolve(new Tcp(socket)));
  });
}

export async function openWebSocket(hub, options) {
  const tcp = await openTcp(hub);
  tcp.write(handshake(options));
  const { status, headers } = await tcp.response();
  assert.equal(status, 101);
  assert.equal(headers['sec-websocket-accept'], ACCEPT);
  return tcp;
}

/** A connected client over a hand-made connection. */
export async function openRawClient(hub) {
  const ws = await openWebSocket(hub);
  assert.ok((await ws.say({ id: 1, connect: {} })).connect);
  return ws;
}
