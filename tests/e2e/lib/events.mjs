// A stream of server-sent events, read as the standard says, with its comments.
//
//   const events = await openEvents(t, hub, '/feeds/city?city=bilbao');     // { headers }; fails unless it is answered with 200
//   events.headers
//   const { id, data, text } = await events.next();     // the next event; data: text as JSON
//   await events.nextComment()                          // the next comment's text, without the colon
//   events.nComments                                    // how many came so far
//   await events.ended                                  // the response has ended; an error if it was cut
//   events.destroy()                                    // without a word
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';

import { Inbox } from './inbox.mjs';
import { checkExchange } from './openapi.mjs';
import { within } from './process.mjs';

class Events {
  nComments = 0;
  #incoming;
  #events = new Inbox();
  #comments = new Inbox();
  #text = '';
  #id;
  #data = [];
  #ended;

  constructor(incoming) {
    this.#incoming = incoming;
    this.headers = incoming.headers;
    incoming.setEncoding('utf8');
    incoming.on('data', text => {
      const lines = (this.#text + text).split('\n');
      this.#text = lines.pop();
      for (const line of lines) this.#take(line.replace(/\r$/, ''));
    });
    this.#ended = new Promise((resolve, reject) => {
      incoming.once('end', resolve);
      incoming.once('error', reject);
      incoming.once('close', () => {
        for (const inbox of [this.#events, this.#comments]) inbox.end(new Error('the stream has ended'));
      });
    });
    this.#ended.catch(() => {});
  }

  #take(line) {
    if (line === '') {
      if (this.#data.length > 0) this.#put(this.#data.join('\n'));
      this.#data = [];
      this.#id = undefined;
    } else if (line.startsWith(':')) {
      this.nComments += 1;
      this.#comments.put(line.slice(1));
    } else if (line.startsWith('id: ')) {
      this.#id = line.slice('id: '.length);
    } else {
      assert.match(line, /^data: /);
      this.#data.push(line.slice('data: '.length));
    }
  }

  #put(text) { this.#events.put({ id: this.#id, text, data: JSON.parse(text) }); }

  next() { return this.#events.next('an event'); }
  nextComment() { return this.#comments.next('a comment'); }
  get ended() { return within(this.#ended, 'the end of the stream'); }
  destroy() { this.#incoming.destroy(); }
}

export async function openEvents(t, hub, path, { headers = {} } = {}) {
  const outgoing = (hub.ca ? https : http).request({
    host: '127.0.0.1', port: hub.port, path, agent: false, ca: hub.ca, headers: { accept: 'text/event-stream', ...headers },
  });
  t.after(() => outgoing.destroy());
  const incoming = await within(new Promise((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.once('error', reject);
    outgoing.end();
  }), `the head of ${path}`);
  outgoing.on('error', () => {}); // after the test it is destroyed
  assert.equal(incoming.statusCode, 200, `${path}: ${incoming.statusCode}`);
  checkExchange({ method: 'GET', path, isOdd: true }, { status: 200, headers: incoming.headers, text: '' });
  return new Events(incoming);
}
