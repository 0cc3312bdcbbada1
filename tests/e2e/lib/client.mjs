// The unmodified npm client `centrifuge` over `ws`, with promises.
//
//   const client = newClient(t, hub);                 // not connected yet; options of Centrifuge third:
//   const client = newClient(t, hub, { token });      //   they win over quick reconnect delays
//   const { client: id } = await connect(client);     // context of the event `connected`
//   const sub = newSubscription(client, 'news:all', { recoverable: true });
//   const context = await subscribe(sub);             // context of the event `subscribed`
//   const { data, offset } = await nextPublication(sub);   // in order, none is lost: the inbox is
//                                                     //   filled from newSubscription() on
//   publicationsSoFar(sub)                            // those not yet taken by nextPublication()
//   const context = await nextEvent(client, 'disconnected');   // an event from now on
//   const sub = serverSubscription(client, 'news:all');        // one that the server makes: its events come from the client
//
//   const context = await connected(client) / subscribed(sub)  // resolves at once when it already is
//   const socket = await rawSocket(t, hub, { headers });   // a plain `ws` socket: see its head
//
// connect() and subscribe() fail when the client or subscription ends instead (with code and reason).
import { EventEmitter } from 'node:events';

import { Centrifuge, State, SubscriptionState } from 'centrifuge';
import WebSocket from 'ws';

import { within } from './process.mjs';

const lastContext = new WeakMap();
const inboxes = new WeakMap();

/** WebSocket that trusts this certificate. */
function trusting(ca) {
  return class extends WebSocket {
    constructor(url, protocols) { super(url, protocols, { ca }); }
  };
}

export function newClient(t, hub, options = {}) {
  const client = new Centrifuge(hub.wsUrl ?? hub, {
    websocket: hub.ca ? trusting(hub.ca) : WebSocket,
    minReconnectDelay: 20,
    maxReconnectDelay: 200,
    ...options,
  });
  client.on('connected', context => lastContext.set(client, context));
  client.on('error', () => {}); // a refused connection while the hub restarts is not the test's failure
  t?.after(() => client.disconnect());
  return client;
}

/** The context of the next event of that name. */
export function nextEvent(emitter, name) {
  return within(new Promise(resolve => emitter.once(name, resolve)), `the event ${name}`);
}

function good(emitter, goodName, badName) {
  return new Promise((resolve, reject) => {
    const onGood = context => { emitter.off(badName, onBad); resolve(context); };
    const onBad = context => {
      emitter.off(goodName, onGood);
      reject(Object.assign(new Error(`${badName}: ${context.code} ${context.reason}`), { code: context.code, reason: context.reason }));
    };
    emitter.once(goodName, onGood);
    emitter.once(badName, onBad);
  });
}

export function connected(client) {
  if (client.state === State.Connected) return Promise.resolve(lastContext.get(client));
  return within(good(client, 'connected', 'disconnected'), 'a connection');
}

export function connect(client) {
  const done = connected(client);
  client.connect();
  return done;
}

function fillInbox(sub) {
  const inbox = { waiting: [], takers: [] };
  inboxes.set(sub, inbox);
  sub.on('publication', publication => {
    const taker = inbox.takers.shift();
    if (taker) taker(publication);
    else inbox.waiting.push(publication);
  });
}

export function newSubscription(client, channel, options = {}) {
  const sub = client.newSubscription(channel, options);
  fillInbox(sub);
  sub.on('subscribed', context => lastContext.set(sub, context));
  sub.on('error', () => {});
  return sub;
}

export function serverSubscription(client, channel) {
  const sub = Object.assign(new EventEmitter(), { channel });
  fillInbox(sub);
  for (const name of ['subscribed', 'unsubscribed', 'publication', 'join', 'leave']) {
    client.on(name, context => { if (context.channel === channel) sub.emit(name, context); });
  }
  return sub;
}

export function subscribed(sub) {
  if (sub.state === SubscriptionState.Subscribed) return Promise.resolve(lastContext.get(sub));
  return within(good(sub, 'subscribed', 'unsubscribed'), `a subscription to ${sub.channel}`);
}

export function subscribe(sub) {
  const done = subscribed(sub);
  sub.subscribe();
  return done;
}

export function nextPublication(sub) {
  const inbox = inboxes.get(sub);
  if (inbox.waiting.length > 0) return Promise.resolve(inbox.waiting.shift());
  return within(new Promise(resolve => inbox.takers.push(resolve)), `a publication in ${sub.channel}`);
}

export function publicationsSoFar(sub) {
  return [...inboxes.get(sub).waiting];
}

/** A plain WebSocket for tests of the wire:
 *    socket.send(object | text)    objects are sent as JSON
 *    await socket.next()           the next reply (JSON), one per line of a frame, in order
 *    await socket.closed           { code, reason } of the close frame; { code: 1006 } without one
 *    socket.ws                     the `ws` object
 *  A refused handshake rejects with error.status. */
export function rawSocket(t, hub, { headers = {}, path = '/connection/websocket', protocols = [] } = {}) {
  const ws = new WebSocket(new URL(path, hub.wsUrl), protocols, { headers, perMessageDeflate: false, ca: hub.ca });
  const waiting = [];
  const takers = [];
  let isClosed = false;
  ws.on('message', data => {
    for (const line of data.toString().split('\n').filter(text => text !== '')) {
      const reply = JSON.parse(line);
      const taker = takers.shift();
      if (taker) taker.resolve(reply);
      else waiting.push(reply);
    }
  });
  const closed = new Promise(resolve => ws.once('close', (code, reason) => {
    isClosed = true;
    for (const taker of takers) taker.reject(new Error(`closed with ${code} ${reason}`));
    resolve({ code, reason: reason.toString() });
  }));
  const socket = {
    ws,
    send: value => ws.send(typeof value === 'string' ? value : JSON.stringify(value)),
    next() {
      if (waiting.length > 0) return Promise.resolve(waiting.shift());
      if (isClosed) return Promise.reject(new Error('closed'));
      return within(new Promise((resolve, reject) => takers.push({ resolve, reject })), 'a reply');
    },
    get closed() { return within(closed, 'the close of the socket'); },
  };
  t?.after(() => ws.terminate());
  return new Promise((resolve, reject) => {
    ws.once('open', () => resolve(socket));
    ws.once('unexpected-response', (_, response) => {
      reject(Object.assign(new Error(`handshake refused with ${response.statusCode}`), { status: response.statusCode, headers: response.headers }));
      ws.terminate();
    });
    ws.on('error', error => reject(error));
  });
}
