// HTTP on a plain TCP connection, for what a well-behaved client never sends.
//
//   const wire = await openWire(t, hub);
//   await wire.send('GET /health HTTP/1.1\r\nHost: h\r\n\r\n');    // bytes as they are; resolves when the kernel has them, or
//                                            the connection has ended
//   await wire.send(head('POST /api/info', { 'Content-Length': 2 }) + '{}');
//   const { status, headers, text, json } = await wire.reply();    // the next reply, in order
//   await wire.reply({ toHead: true })         // one to a HEAD: a length, but no body
//   await wire.replyOrEnd()                    // the same, or null when the connection ends before it
//   await wire.ended                           // the hub has closed or reset it
//   wire.cut()                                 // closes it without a word
import assert from 'node:assert/strict';
import net from 'node:net';

import { within } from './process.mjs';

/** A request's head, with its blank line. */
export function head(requestLine, headers = {}) {
  const lines = Object.entries({ Host: 'hub', ...headers }).flatMap(([name, values]) => [values].flat().map(value => `${name}: ${value}`));
  return `${requestLine} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The first reply in bytes and what follows it, or nothing while it is not complete. */
function takeReply(bytes, toHead) {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [statusLine, ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const headers = Object.fromEntries(lines.map(line => /^([^:]+): *(.*)$/.exec(line).slice(1)).map(([name, value]) => [name.toLowerCase(), value]));
  const length = toHead ? 0 : Number(headers['content-length'] ?? 0);
  const body = bytes.subarray(end + 4);
  if (body.length < length) return undefined;
  const text = body.subarray(0, length).toString();
  const [, status] = /^HTTP\/1\.[01] (\d{3}) /.exec(statusLine);
  return { reply: { status: Number(status), headers, text, json: parsed(text) }, rest: body.subarray(length) };
}

class Wire {
  #socket;
  #bytes = Buffer.alloc(0);
  #hasEnded = false;
  #wakeUp = () => {};

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', part => {
      this.#bytes = Buffer.concat([this.#bytes, part]);
      this.#wakeUp();
    });
    const ended = new Promise(resolve => {
      socket.once('end', resolve);
      socket.once('close', resolve);
    }).then(() => {
      this.#hasEnded = true;
      this.#wakeUp();
    });
    Object.defineProperty(this, 'ended', { get: () => within(ended, 'the end of the connection') });
  }

  get isOpen() { return !this.#hasEnded; }

  async send(bytes) {
    const error = await new Promise(resolve => this.#socket.write(bytes, resolve));
    if (error) await this.ended;
  }

  async replyOrEnd({ toHead = false } = {}) {
    for (;;) {
      const taken = takeReply(this.#bytes, toHead);
      if (taken) {
        this.#bytes = taken.rest;
        return taken.reply;
      }
      if (this.#hasEnded) {
        assert.equal(this.#bytes.toString(), '', 'half a reply');
        return null;
      }
      await within(new Promise(resolve => { this.#wakeUp = resolve; }), 'a reply');
    }
  }

  async reply(options) {
    const reply = await this.replyOrEnd(options);
    assert.ok(reply, 'the connection ended without a reply');
    return reply;
  }

  cut() { this.#socket.destroy(); }
}

export function openWire(t, hub) {
  const socket = net.connect({ host: '127.0.0.1', port: hub.port, noDelay: true });
  socket.on('error', () => {}); // a reset is an end like others
  t.after(() => socket.destroy());
  return new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(new Wire(socket)));
    socket.once('error', reject);
  });
}
