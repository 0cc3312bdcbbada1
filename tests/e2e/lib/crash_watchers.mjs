// Those who listen while the hub is killed: npm clients that come back by themselves, and all that they saw.
//
//   const watcher = new Watcher(t, hub, 'watcher 1', ['log:0', 'log:1']);
//   watcher.goesAway()                 // the hub is killed: the next back() is a new one
//   await watcher.back()               // it is subscribed to all of its channels
//   await watcher.reached('log:0', 17) // it has seen that offset, or a higher one
//   watcher.seen        Map of channel -> [{ offset, id }] in the order of arrival
//   watcher.nRecoveries                returns with what was missed
//   watcher.complaints  texts: what must never happen to a client
//   watcher.on('push' | 'subscribed', () => {})
import { EventEmitter } from 'node:events';

import { newClient } from './client.mjs';
import { isWhole } from './crash_load.mjs';
import { within } from './process.mjs';

const TRANSPORT_CLOSED = 1; // the SDK's code for a connection that broke, what a kill looks like

export class Watcher extends EventEmitter {
  seen = new Map();
  epochs = new Map();
  nRecoveries = 0;
  complaints = [];
  #name;
  #missing;
  #allBack;
  #setAllBack;

  constructor(t, hub, name, channels) {
    super();
    this.#name = name;
    for (const channel of channels) this.seen.set(channel, []);
    this.goesAway();
    const client = newClient(t, hub, { minReconnectDelay: 5, maxReconnectDelay: 50 });
    client.on('connecting', ({ code, reason }) => this.#mustBe(code <= TRANSPORT_CLOSED, `was sent away: ${code} ${reason}`));
    client.on('disconnected', ({ code, reason }) => this.#mustBe(code === 0, `was disconnected: ${code} ${reason}`));
    for (const channel of channels) this.#subscribe(client, channel);
    client.connect();
  }

  goesAway() {
    this.#missing = new Set(this.seen.keys());
    this.#allBack = new Promise(resolve => { this.#setAllBack = resolve; });
  }

  back() { return within(this.#allBack, () => `${this.#name} in ${[...this.#missing]}`); }

  reached(channel, offset) {
    const list = this.seen.get(channel);
    const isThere = () => (list.at(-1)?.offset ?? 0) >= offset;
    const there = new Promise(resolve => {
      const look = () => {
        if (!isThere()) return;
        this.off('push', look);
        resolve();
      };
      this.on('push', look);
      look();
    });
    return within(there, () => `${this.#name} at ${offset} in ${channel}; it is at ${list.at(-1)?.offset}`);
  }

  #mustBe(isGood, text) {
    if (!isGood) this.complaints.push(`${this.#name} ${text}`);
  }

  #subscribe(client, channel) {
    const sub = client.newSubscription(channel, { minResubscribeDelay: 5, maxResubscribeDelay: 50 });
    sub.on('subscribing', ({ code, reason }) => this.#mustBe(code <= TRANSPORT_CLOSED, `had to subscribe to ${channel} again: ${code} ${reason}`));
    sub.on('unsubscribed', ({ code, reason }) => this.#mustBe(code === 0, `lost ${channel}: ${code} ${reason}`));
    sub.on('error', ({ type, error }) => this.#mustBe(type === 'transport' || client.state !== 'connected', `in ${channel}: ${type} ${error?.code} ${error?.message}`));
    sub.on('subscribed', context => this.#takePlace(channel, context));
    sub.on('publication', publication => this.#take(channel, publication));
    sub.subscribe();
  }

  #takePlace(channel, { wasRecovering, recovered, streamPosition }) {
    const epoch = streamPosition?.epoch;
    const known = this.epochs.get(channel);
    this.#mustBe(known === undefined || wasRecovering, `did not even ask for what it missed in ${channel}`);
    this.#mustBe(known === undefined || recovered, `could not recover in ${channel}: ${JSON.stringify(streamPosition)}, had seen ${this.seen.get(channel).at(-1)?.offset}`);
    this.#mustBe(epoch === (known ?? epoch), `found another epoch in ${channel}: ${epoch} after ${known}`);
    this.epochs.set(channel, epoch);
    if (known !== undefined && recovered) this.nRecoveries += 1;
    this.#missing.delete(channel);
    if (this.#missing.size === 0) this.#setAllBack();
    this.emit('subscribed');
  }

  #take(channel, { offset, data }) {
    const list = this.seen.get(channel);
    const expected = (list.at(-1)?.offset ?? 0) + 1;
    this.#mustBe(offset === expected, `got ${offset} of ${channel} where ${expected} comes next`);
    this.#mustBe(isWhole(data), `got ${offset} of ${channel} damaged: ${JSON.stringify(data)}`);
    list.push({ offset, id: data?.id });
    this.emit('push');
  }
}
