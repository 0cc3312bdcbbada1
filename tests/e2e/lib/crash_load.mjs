// Those who publish while the hub is killed, and what they were told.
//
//   const load = new Load(t, hub, ['log:0', 'log:1']);
//   load.start(); ...; await load.finish();   // nothing new; waits until all that has a key is acknowledged
//   await load.repeatSome();                  // of the acknowledged ones, from all of the run: the answers must be the same again
//   load.hubIsDown(); load.hubIsUp();         // nobody tries while it is down; load.isDown
//   load.entries     [{ id, channel, hasKey, offset, epoch }]: what was sent; offset undefined: never acknowledged
//   load.nUnanswered                          requests that got no answer
//   load.tops        Map of channel -> the highest acknowledged offset
//   load.on('answer', () => {})               one was acknowledged
//   load.refusals    texts: answers that are neither right nor missing
//
// Whoever has a key repeats what was not answered, with the same key, until it is. Whoever has none never repeats anything.
import { EventEmitter } from 'node:events';
import http from 'node:http';

import { within } from './process.mjs';

const KEYED_CONNECTIONS = 8;
const PLAIN_CONNECTIONS = 4;
const N_REPEATED = 200;
const KEYS_LAST_MS = 240_000; // a minute less than they are remembered

/** What is published follows from its id: it can be told whether it came through whole. */
export function payloadOf(id) {
  const n = Number(id.slice(id.indexOf('/') + 1));
  return { id, text: 'belfry '.repeat((n * 37) % 60) };
}

export function isWhole(data) {
  return typeof data?.id === 'string' && JSON.stringify(data) === JSON.stringify(payloadOf(data.id));
}

/** The parsed answer, or undefined when none came. */
function post(agent, hub, method, body) {
  return new Promise(resolve => {
    const bytes = JSON.stringify(body);
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(bytes), 'x-api-key': hub.key };
    const outgoing = http.request({ agent, host: '127.0.0.1', port: hub.port, method: 'POST', path: `/api/${method}`, headers });
    outgoing.once('error', () => resolve(undefined));
    outgoing.once('response', incoming => {
      const parts = [];
      incoming.on('data', part => parts.push(part));
      incoming.once('error', () => resolve(undefined));
      incoming.once('end', () => resolve({ status: incoming.statusCode, text: Buffer.concat(parts).toString() }));
    });
    outgoing.end(bytes);
  });
}

export class Load extends EventEmitter {
  entries = [];
  nUnanswered = 0;
  tops = new Map();
  refusals = [];
  #hub;
  #channels;
  #agents = [];
  #isOver = false;
  #isCut = false;
  #runs = [];
  #up = Promise.resolve();
  #setUp; // while it is down

  constructor(t, hub, channels) {
    super();
    this.#hub = hub;
    this.#channels = channels;
    for (const channel of channels) this.tops.set(channel, 0);
    t.after(() => {
      this.#isOver = true;
      this.#isCut = true;
      this.hubIsUp();
      for (const agent of this.#agents) agent.destroy();
    });
  }

  get isDown() { return this.#setUp !== undefined; }

  hubIsDown() {
    if (this.isDown) return; // those who wait go on waiting
    this.#up = new Promise(resolve => { this.#setUp = resolve; });
  }

  hubIsUp() {
    this.#setUp?.();
    this.#setUp = undefined;
  }

  start() {
    for (let i = 0; i < KEYED_CONNECTIONS; i += 1) this.#runs.push(this.#publish(`keyed${i}`, i, true));
    for (let i = 0; i < PLAIN_CONNECTIONS; i += 1) this.#runs.push(this.#publish(`plain${i}`, i, false));
    this.#runs.push(this.#broadcast('broadcast'));
  }

  async finish() {
    this.#isOver = true;
    await within(Promise.all(this.#runs), 'the acknowledgement of all that has a key');
  }

  async repeatSome() {
    const agent = this.#newAgent();
    const oldest = performance.now() - KEYS_LAST_MS;
    const known = this.entries.filter(({ hasKey, offset, sentAt }) => hasKey && offset !== undefined && sentAt > oldest);
    const step = Math.ceil(known.length / N_REPEATED);
    for (const { id, channel, offset, epoch } of known.filter((_, i) => i % step === 0)) {
      const again = await this.#send(agent, 'publish', { channel, data: payloadOf(id) }, id);
      if (again?.offset !== offset || again.epoch !== epoch) this.refusals.push(`${id} in ${channel}, repeated: ${JSON.stringify(again)} after ${offset} in ${epoch}`);
    }
  }

  #newAgent() {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    this.#agents.push(agent);
    return agent;
  }

  async #publish(name, shift, hasKey) {
    const agent = this.#newAgent();
    for (let n = 1; !this.#isOver; n += 1) {
      const id = `${name}/${n}`;
      const channel = this.#channels[(n + shift) % this.#channels.length];
      const entry = this.#enter(id, channel, hasKey);
      const result = await this.#send(agent, 'publish', { channel, data: payloadOf(id) }, hasKey && id);
      if (result) this.#acknowledge(entry, { result });
    }
  }

  async #broadcast(name) {
    const agent = this.#newAgent();
    for (let n = 1; !this.#isOver; n += 1) {
      const id = `${name}/${n}`;
      const entries = this.#channels.map(channel => this.#enter(id, channel, true));
      const result = await this.#send(agent, 'broadcast', { channels: this.#channels, data: payloadOf(id) }, id);
      if (result) entries.forEach((entry, i) => this.#acknowledge(entry, result.responses[i]));
    }
  }

  #enter(id, channel, hasKey) {
    const entry = { id, channel, hasKey, offset: undefined, epoch: undefined, sentAt: performance.now() };
    this.entries.push(entry);
    return entry;
  }

  #acknowledge(entry, { result, error }) {
    if (!result?.offset) {
      this.refusals.push(`${entry.id} in ${entry.channel}: ${JSON.stringify(error ?? result)}`);
      return;
    }
    Object.assign(entry, result);
    this.tops.set(entry.channel, Math.max(this.tops.get(entry.channel), entry.offset));
    this.emit('answer');
  }

  async #send(agent, method, body, key) {
    do {
      await this.#up;
      const answer = await post(agent, this.#hub, method, key ? { ...body, idempotency_key: key } : body);
      if (answer) return this.#resultOf(answer, body);
      this.nUnanswered += 1;
    } while (key && !this.#isCut);
    return undefined;
  }

  #resultOf({ status, text }, body) {
    const result = status === 200 ? JSON.parse(text).result : undefined;
    if (!result) this.refusals.push(`${body.data.id}: ${status} ${text}`);
    return result;
  }
}
