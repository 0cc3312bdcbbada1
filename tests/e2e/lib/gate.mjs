// An upstream whose answers wait until the test lets them go, so that a test knows what is under way without any clock.
//
//   const gate = await startGate(t);
//   gate.url                                  'http://127.0.0.1:PORT'
//   const held = await gate.next();           // the next request, in order of arrival: { method, url, headers }
//   held.answer('{"a":1}', { status: 200, headers: {} })   // anything but a string is sent as JSON
//   await held.gone                           // the hub has given it up
//   gate.n                                    // how many came so far
//   const trap = await startGate(t, { open: true });    // for what must not be asked: answers {} at once, and counts
import http from 'node:http';

import { within } from './process.mjs';

export async function startGate(t, { open = false } = {}) {
  const waiting = [];
  const takers = [];
  const gate = { n: 0 };
  const server = http.createServer((incoming, outgoing) => {
    gate.n += 1;
    const gone = new Promise(resolve => outgoing.once('close', resolve));
    const held = {
      method: incoming.method,
      url: incoming.url,
      headers: incoming.headers,
      get gone() { return within(gone, `the end of the request to ${incoming.url}`); },
      answer(body, { status = 200, headers = {} } = {}) {
        outgoing.writeHead(status, { 'content-type': 'application/json', ...headers });
        outgoing.end(typeof body === 'string' ? body : JSON.stringify(body));
      },
    };
    const taker = takers.shift();
    if (open) held.answer({});
    else if (taker) taker(held);
    else waiting.push(held);
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  gate.url = `http://127.0.0.1:${server.address().port}`;
  gate.next = () => (waiting.length > 0 ? Promise.resolve(waiting.shift()) : within(new Promise(resolve => takers.push(resolve)), 'a request to the gate'));
  return gate;
}
