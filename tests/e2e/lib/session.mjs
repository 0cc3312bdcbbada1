// The client protocol without an SDK: commands one by one, replies and pushes as they are.
//
//   const session = await openSession(t, hub);                      // sends connect, awaits its reply
//   const session = await openSession(t, hub, { connect: { token }, headers: { origin } });
//   const session = await openSession(t, hub, { connect: null });   // only the handshake
//   session.connected                                // the connect reply's result
//   const reply = await session.call('subscribe', { channel })      // { id, subscribe } or { id, error }
//   const result = await session.ok('subscribe', { channel })       // the result; fails on an error
//   const { code } = await session.error('subscribe', { channel })  // the error; fails on a result
//   const push = await session.nextPush()            // { channel, pub } and so on, in order
//   textOf(reply), textOf(push)                      // the line it was in, byte for byte
//   session.log                                      // all replies, pushes and pings ({}) in order
//   session.send(text | object)                      // anything
//   await session.closed                             // { code, reason }
//
// Pings are answered unless { pongs: false }; await session.nextPing() awaits one.
import assert from 'node:assert/strict';

import { rawSocket } from './client.mjs';
import { Inbox } from './inbox.mjs';

const texts = new WeakMap();

export function textOf(message) {
  return texts.get(message);
}

class Session {
  log = [];
  #socket;
  #pongs;
  #lastId = 0;
  #replies = new Map(); // id -> Inbox
  #pushes = new Inbox();
  #pings = new Inbox();

  constructor(socket, pongs) {
    this.#socket = socket;
    this.#pongs = pongs;
    socket.ws.on('message', data => {
      for (const line of data.toString().split('\n')) this.#take(line);
    });
    socket.ws.once('close', (code, reason) => {
      const error = new Error(`closed with ${code} ${reason}`);
      for (const inbox of [...this.#replies.values(), this.#pushes, this.#pings]) inbox.end(error);
    });
  }

  #take(line) {
    const message = JSON.parse(line);
    texts.set(message, line);
    this.log.push(message);
    if (message.push) {
      texts.set(message.push, line);
      this.#pushes.put(message.push);
    } else if (message.id !== undefined) {
      this.#inboxOf(message.id).put(message);
    } else {
      this.#pings.put(message);
      if (this.#pongs) this.send('{}');
    }
  }

  #inboxOf(id) {
    if (!this.#replies.has(id)) this.#replies.set(id, new Inbox());
    return this.#replies.get(id);
  }

  get ws() { return this.#socket.ws; }
  get closed() { return this.#socket.closed; }
  get id() { return this.connected.client; }

  send(value) { this.#socket.send(value); }

  replyTo(id) { return this.#inboxOf(id).next(`the reply to command ${id}`); }

  call(method, params = {}) {
    const id = ++this.#lastId;
    this.send({ id, [method]: params });
    return this.replyTo(id);
  }

  async ok(method, params) {
    const reply = await this.call(method, params);
    assert.ok(reply[method], `${method}: ${textOf(reply)}`);
    return reply[method];
  }

  async error(method, params) {
    const reply = await this.call(method, params);
    assert.ok(reply.error, `${method}: ${textOf(reply)}`);
    return reply.error;
  }

  nextPush() { return this.#pushes.next('a push'); }
  nextPing() { return this.#pings.next('a ping'); }
}

export async function openSession(t, hub, { connect = {}, headers, path, protocols, pongs = true } = {}) {
  const session = new Session(await rawSocket(t, hub, { headers, path, protocols }), pongs);
  if (connect) session.connected = await session.ok('connect', connect);
  return session;
}

/** Fails unless a new client connects, subscribes and receives what it publishes. */
export async function assertServes(t, hub, channel = 'health-of-the-hub') {
  const session = await openSession(t, hub);
  await session.ok('subscribe', { channel });
  await session.ok('publish', { channel, data: 'still here' });
  assert.equal((await session.nextPush()).pub.data, 'still here');
  session.ws.close();
  await session.closed;
}

/** The figures of the hub's only node, as soon as they satisfy. */
export async function infoWhen(hub, satisfies) {
  let info;
  const limit = Date.now() + 30_000;
  do {
    [info] = (await hub.call('info')).nodes;
    if (satisfies(info)) return info;
  } while (Date.now() < limit);
  throw new Error(`the hub's figures stay ${JSON.stringify(info)}`);
}
