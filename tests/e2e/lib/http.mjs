// One HTTP request on its own connection, so that a restarted server never meets a stale pooled one.
//
//   const { status, headers, text, json } = await request(port, 'POST', '/api/info', { headers, body });
//   ca: over TLS, with a server whose certificate this is; socketPath: to a Unix socket, instead of the port
//   Both are held to docs/openapi.json. unchecked: 'why they are not'; odd: 'why the request is taken and yet not as it says'
//   body: a string or Buffer is sent as it is, anything else as JSON. json: undefined if the body is none.
import http from 'node:http';
import https from 'node:https';

import { checkExchange } from './openapi.mjs';
import { within } from './process.mjs';

export async function request(port, method, path, { headers = {}, body, host = '127.0.0.1', ca, socketPath, unchecked, odd } = {}) {
  const bytes = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const answered = new Promise((resolve, reject) => {
    const length = bytes === undefined ? {} : { 'content-length': Buffer.byteLength(bytes) };
    // A Unix socket that its server closes at once would end a large request with EPIPE, before the answer is read.
    const kept = socketPath === undefined ? {} : { connection: 'keep-alive' };
    const outgoing = (ca ? https : http).request({ host, port, socketPath, method, path, ca, agent: false, headers: { ...length, ...kept, ...headers } });
    outgoing.once('error', reject);
    outgoing.once('response', incoming => {
      const parts = [];
      incoming.on('data', part => parts.push(part));
      incoming.once('error', reject);
      incoming.once('end', () => {
        const text = Buffer.concat(parts).toString();
        resolve({ status: incoming.statusCode, headers: incoming.headers, text, json: parsed(text) });
      });
    });
    outgoing.end(bytes);
  });
  const answer = await within(answered, `the answer to ${method} ${path}`);
  if (!unchecked) checkExchange({ method, path, body, isOdd: odd !== undefined }, answer);
  return answer;
}

/** undefined: it is no JSON. */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
