// What the demo's page does, without a browser: subscribe, refresh the feed, receive the aggregate,
// post a notification, receive it.
//   node demo_check.mjs http://127.0.0.1:PORT        exit status 0, or says what failed
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

import { connect, newClient, newSubscription, nextPublication, subscribe } from './lib/client.mjs';
import { request } from './lib/http.mjs';

const url = new URL(process.argv[2]);
const config = JSON.parse(await readFile(new URL('../../examples/demo.json', import.meta.url), 'utf8'));
const params = { city: 'bilbao' };

function tell(what, text) {
  console.log(`${what.padEnd(11)} ${text}`);
}

async function call(method, body) {
  const headers = { 'x-api-key': config.http_api.key, 'content-type': 'application/json' };
  const { status, text, json } = await request(url.port, 'POST', `/api/${method}`, { headers, body });
  assert.equal(status, 200, `POST /api/${method} answered ${status} ${text}`);
  assert.ok(json?.result, `POST /api/${method} answered ${text}`);
  return json.result;
}

async function checkPage() {
  const { status, headers } = await request(url.port, 'GET', '/');
  assert.equal(status, 200, `GET / answered ${status}`);
  tell('page', `${url.href} ${headers['content-type']}`);
}

async function follow(client, channel) {
  const sub = newSubscription(client, channel);
  const { streamPosition } = await subscribe(sub);
  tell('subscribed', `${channel} at offset ${streamPosition?.offset}`);
  return sub;
}

async function checkRefresh(sub) {
  const started = performance.now();
  const result = await call('feed_refresh', { feed: 'city', params });
  const elapsed = Math.round(performance.now() - started);
  const outcomes = Object.entries(result.upstreams).map(([name, { outcome, duration_ms: ms }]) => `${name} ${outcome} ${ms} ms`);
  tell('refreshed', `${outcomes.join(', ')}; answered after ${elapsed} ms`);
  assert.ok(result.completed, 'an upstream failed');

  // The channel is watched, so the feed may have been refreshed before.
  let publication;
  do publication = await nextPublication(sub); while (publication.offset < result.offset);
  tell('received', `${sub.channel} #${publication.offset} ${JSON.stringify(publication.data)}`);
  assert.equal(publication.offset, result.offset);
  assert.deepEqual(publication.data, result.data);
  assert.deepEqual(Object.keys(publication.data), ['weather', 'air', 'events']);
}

async function checkNotification(sub) {
  const data = { text: 'Hello from scripts/demo' };
  const { offset } = await call('publish', { channel: sub.channel, data });
  tell('published', `${sub.channel} #${offset}`);
  const publication = await nextPublication(sub);
  tell('received', `${sub.channel} #${publication.offset} ${JSON.stringify(publication.data)}`);
  assert.equal(publication.offset, offset);
  assert.deepEqual(publication.data, data);
}

async function main() {
  const client = newClient(null, `ws://${url.host}/connection/websocket`);
  try {
    await checkPage();
    const { client: id, transport } = await connect(client);
    tell('connected', `client ${id} over ${transport}`);
    const feed = await follow(client, `city:${params.city}`);
    const news = await follow(client, config.demo.channel);
    await checkRefresh(feed);
    await checkNotification(news);
    tell('good', 'subscribed, refreshed, notified: all arrived');
  } finally {
    client.disconnect();
  }
}

main().catch(error => {
  console.error(`failed: ${error.message}`);
  process.exitCode = 1;
});
