// A backend that the hub sends requests to (proxies, webhooks): an HTTP server on a free port of 127.0.0.1, ended with the test.
//
//   const backend = await startBackend(t, {
//     '/connect': request => ({ result: { user: '42' } }),   // a function, may be async, or simply the answer
//     '/rpc': { error: { code: 1000, message: 'no' } },      // anything: status 200 and that as JSON
//     '/other': answer(404, 'not found'),                    // another status; a string or Buffer is sent as it is
//     '/slow': HANG, '/broken': RESET,                       // no answer until the end; the connection is cut
//   });                                                      // any other path: 404
//       t: the context of node:test; or null
//
//   backend.url                    'http://127.0.0.1:PORT'
//   backend.handlers['/rpc'] = ... what it answers from now on
//   backend.requests               every request so far: { method, path, headers, rawHeaders, text, json }
//   backend.requestsTo('/rpc')     those to one path
//   const { json } = await backend.next('/rpc')   the oldest one to that path not yet taken, or the next that comes
//   await backend.stop()           nobody answers on its port any more
//   await backend.start()          it does again
import http from 'node:http';

import { within } from './process.mjs';

export const HANG = Symbol('hang');
export const RESET = Symbol('reset');

class Answer {
  constructor(status, body, headers) { Object.assign(this, { status, body, headers }); }
}

export function answer(status, body = '', headers = {}) {
  return new Answer(status, body, headers);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function textOf(incoming) {
  const parts = [];
  for await (const part of incoming) parts.push(part);
  return Buffer.concat(parts).toString();
}

class Backend {
  #server;
  #port = 0;
  #untaken = new Map();
  #takers = new Map();

  constructor(handlers) {
    this.handlers = handlers;
    this.requests = [];
  }

  get url() { return `http://127.0.0.1:${this.#port}`; }

  async start() {
    this.#server = http.createServer((incoming, outgoing) => {
      this.#serve(incoming, outgoing).catch(error => { // a mistake of the handler, or the hub went away
        if (!outgoing.headersSent) outgoing.writeHead(500);
        outgoing.end(String(error));
      });
    });
    await new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = this.#server.address().port;
  }

  async stop() {
    if (!this.#server.listening) return;
    const stopped = new Promise(resolve => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await stopped;
  }

  requestsTo(path) { return this.requests.filter(request => request.path === path); }

  next(path) {
    const untaken = this.#untaken.get(path) ?? [];
    if (untaken.length > 0) return Promise.resolve(untaken.shift());
    const takers = this.#takers.get(path) ?? [];
    this.#takers.set(path, takers);
    return within(new Promise(resolve => takers.push(resolve)), `a request to ${path}`);
  }

  #keep(request) {
    this.requests.push(request);
    const taker = this.#takers.get(request.path)?.shift();
    if (taker) {
      taker(request);
    } else {
      this.#untaken.set(request.path, [...(this.#untaken.get(request.path) ?? []), request]);
    }
  }

  async #serve(incoming, outgoing) {
    const text = await textOf(incoming);
    const { method, url: path, headers, rawHeaders } = incoming;
    const request = { method, path, headers, rawHeaders, text, json: parsed(text) };
    this.#keep(request);
    const handler = this.handlers[path] ?? answer(404, 'no handler');
    const given = typeof handler === 'function' ? await handler(request) : handler;
    if (given === HANG) return;
    if (given === RESET) {
      incoming.socket.destroy();
      return;
    }
    const { status, body, headers: more } = given instanceof Answer ? given : answer(200, given);
    const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
    outgoing.writeHead(status, { 'content-type': 'application/json', ...more });
    outgoing.end(isRaw ? body : JSON.stringify(body));
  }
}

export async function startBackend(t, handlers = {}) {
  const backend = new Backend(handlers);
  await backend.start();
  t?.after(() => backend.stop());
  return backend;
}
