// Many plain WebSockets that are subscribed to one channel, answer pings, and only count what comes.
//
//   const crowd = joinCrowd(hub, 'news');
//   await crowd.grow(100);                     // 100 more, one after the other
//   crowd.nPublications  crowd.nPings          // so far, of all together
//   await crowd.publicationsReach(n)
//   await crowd.allPinged()                    // every one once more from now on
//   crowd.leave()                              // all at once; also when the test ends
//
// With { pongsOverMs: 1000 } each waits before it answers, one longer than the other: pongs to pings that
// came together then reach the hub one by one, as those of people all over the world do, and not in
// batches that depend on how busy the machine is.
//
// Once one ends, or gets anything else than publications and pings, all that is awaited fails.
import WebSocket from 'ws';

import { within } from './process.mjs';

const GOLDEN_RATIO = (1 + Math.sqrt(5)) / 2; // its multiples, modulo 1, are far from each other

class Crowd {
  nPublications = 0;
  nPings = 0;
  #hub;
  #channel;
  #pongsOverMs;
  #sockets = [];
  #notPinged = new Set();
  #waiters = new Set();
  #isOver = false;
  #error;

  constructor(hub, channel, { pongsOverMs = 0 }) {
    this.#hub = hub;
    this.#channel = channel;
    this.#pongsOverMs = pongsOverMs;
    hub.atEnd(() => this.leave());
  }

  leave() {
    this.#isOver = true;
    for (const socket of this.#sockets) socket.terminate();
  }

  async grow(n) {
    for (let i = 0; i < n; i += 1) await within(this.#join(), 'a subscribed client');
  }

  publicationsReach(n) {
    return this.#until(() => this.nPublications >= n, () => `publication ${n}, ${this.nPublications} came`);
  }

  allPinged() {
    this.#notPinged = new Set(this.#sockets);
    return this.#until(() => this.#notPinged.size === 0, () => `pings of ${this.#notPinged.size} clients`);
  }

  #until(isTrue, what) {
    if (this.#error) return Promise.reject(this.#error);
    return within(new Promise((resolve, reject) => this.#waiters.add({ isTrue, resolve, reject })), what);
  }

  #fail(error) {
    if (this.#isOver) return;
    this.#error = error;
    for (const { reject } of this.#waiters) reject(error);
    this.#waiters.clear();
  }

  #join() {
    const socket = new WebSocket(this.#hub.wsUrl, { perMessageDeflate: false });
    const pongDelayMs = this.#pongsOverMs * ((this.#sockets.length * GOLDEN_RATIO) % 1);
    this.#sockets.push(socket);
    return new Promise((resolve, reject) => {
      const end = error => { reject(error); this.#fail(error); };
      socket.once('open', () => socket.send(`{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":${JSON.stringify(this.#channel)}}}`));
      socket.once('error', end);
      socket.once('close', code => end(new Error(`a client of the crowd was closed with ${code}`)));
      socket.on('message', bytes => {
        for (const line of bytes.toString().split('\n')) {
          if (line === '{}') this.#pinged(socket, pongDelayMs);
          else this.#take(line, resolve, end);
        }
        for (const waiter of this.#waiters) {
          if (waiter.isTrue() && this.#waiters.delete(waiter)) waiter.resolve();
        }
      });
    });
  }

  #pinged(socket, pongDelayMs) {
    this.nPings += 1;
    this.#notPinged.delete(socket);
    if (pongDelayMs === 0) socket.send('{}');
    else setTimeout(() => socket.readyState === WebSocket.OPEN && socket.send('{}'), pongDelayMs).unref();
  }

  #take(line, onSubscribed, onError) {
    const { id, push, error } = JSON.parse(line);
    if (push?.pub) this.nPublications += 1;
    else if (error || !id) onError(new Error(`a client of the crowd got ${line}`));
    else if (id === 2) onSubscribed();
  }
}

export function joinCrowd(hub, channel, options = {}) {
  return new Crowd(hub, channel, options);
}
