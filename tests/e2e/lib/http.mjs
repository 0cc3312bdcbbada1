// One HTTP request on its own connection, so that a restarted server never meets a stale pooled one.
//
//   const { status, headers, text, json } = await request(port, 'POST', '/api/info', { headers, body });
//   ca: over TLS, with a server whose certificate this is
//   body: a string or Buffer is sent as it is, anything else as JSON. json: undefined if the body is none.
import http from 'node:http';
import https from 'node:https';

import { within } from './process.mjs';

export function request(port, method, path, { headers = {}, body, host = '127.0.0.1', ca } = {}) {
  const bytes = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const answered = new Promise((resolve, reject) => {
    const length = bytes === undefined ? {} : { 'content-length': Buffer.byteLength(bytes) };
    const outgoing = (ca ? https : http).request({ host, port, method, path, ca, agent: false, headers: { ...length, ...headers } });
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
  return within(answered, `the answer to ${method} ${path}`);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
