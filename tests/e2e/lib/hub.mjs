// A real belfry with a configuration of the test's own, on a free port of 127.0.0.1.
//
//   const hub = await startHub(t, { config: { client: { insecure: true }, ... } });
//       t: the context of node:test, which ends the hub and removes its folder after the test; or null
//       config: merged over defaultConfig() below; http_server.port 0 = a free port
//       env: further environment; args: further arguments; dir: a folder to use and keep;
//       wrapper: ['valgrind', ...] put before the program; ca: the certificate of a hub whose config says TLS
//
//   hub.port  hub.url 'http://127.0.0.1:PORT'  hub.wsUrl 'ws://.../connection/websocket'
//   hub.dir   its folder: belfry.json, belfry.sqlite     hub.pid   hub.key   the API key
//   hub.lines every line of its log so far; await hub.waitForLine(line => ...)
//
//   const result = await hub.call('publish', { channel, data });   // POST /api/publish, fails on an error
//   const { status, json } = await hub.api('publish', { ... });    // the same, but any answer is good
//   await hub.api('info', {}, { key: 'wrong' }); await hub.api('info', 'no json')
//   await hub.request('GET', '/health')               // anything else: { status, headers, text, json }
//
//   await hub.stop()      SIGTERM; fails unless it exits with 0
//   await hub.kill9()     SIGKILL, waits for the end
//   hub.signal('SIGINT')  and nothing else; const { code, signal } = await hub.exited
//   await hub.restart()   starts it again: same port, folder and configuration (give { config } to change it)
//   const lines = await hub.reload(config)   // writes what is merged over the configuration (a text: as it is), sends SIGHUP,
//                     and waits for the end of it: what the log has about it, the last line "reloaded" or "not_reloaded"
//   hub.atEnd(fn)         fn() is called after the test, before the hub is ended
//
// A hub that ended by itself during the test makes the test fail.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { request } from './http.mjs';
import { startProcess, within } from './process.mjs';

export const API_KEY = 'test-api-key';

const BIN = process.env.BELFRY_BIN ?? fileURLToPath(new URL('../../../build/release/belfry', import.meta.url));

/** What every test's hub has unless its config says otherwise. */
export function defaultConfig(dir) {
  return {
    http_server: { address: '127.0.0.1', port: 0 },
    http_api: { key: API_KEY },
    health: { enabled: true },
    client: { allowed_origins: ['*'] },
    storage: { path: join(dir, 'belfry.sqlite') },
  };
}

function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** over's keys win; objects are merged, lists replaced. */
export function merged(base, over) {
  const result = { ...base };
  for (const [key, value] of Object.entries(over)) {
    result[key] = isObject(value) && isObject(base[key]) ? merged(base[key], value) : value;
  }
  return result;
}

class Hub {
  #config;
  #options;
  #child;
  #endWanted = false;
  #portInFile;
  #atEnd = [];

  constructor(dir, config, options) {
    this.dir = dir;
    this.#config = merged(defaultConfig(dir), config);
    this.#options = options;
  }

  get pid() { return this.#child.pid; }
  get lines() { return this.#child.lines; }
  get key() { return this.#config.http_api.key; }
  get ca() { return this.#options.ca; }
  get url() { return `${this.ca ? 'https' : 'http'}://127.0.0.1:${this.port}`; }
  get wsUrl() { return `${this.ca ? 'wss' : 'ws'}://127.0.0.1:${this.port}/connection/websocket`; }

  async start() {
    const { env, args = [], wrapper = [] } = this.#options;
    const file = join(this.dir, 'belfry.json');
    await writeFile(file, JSON.stringify(this.#config, null, 2));
    this.#portInFile = this.#config.http_server.port;
    const [program, ...rest] = [...wrapper, BIN, 'serve', '--config', file, ...args];
    this.#endWanted = false;
    this.#child = startProcess(program, rest, { env, label: 'hub' });
    const listening = / server listening .* port=(\d+)|"event":"listening".*"port":(\d+)/; // as text, as JSON
    const [, text, json] = listening.exec(await this.#child.waitForLine(line => listening.test(line)));
    this.port = Number(text ?? json);
    this.#config.http_server.port = this.port;
  }

  waitForLine(matches, options) { return this.#child.waitForLine(matches, options); }

  request(method, path, options) { return request(this.port, method, path, { ca: this.ca, ...options }); }

  api(method, body = {}, { key = this.key, headers = {}, ...how } = {}) {
    const auth = key === null ? {} : { 'x-api-key': key };
    return this.request('POST', `/api/${method}`, { body, headers: { 'content-type': 'application/json', ...auth, ...headers }, ...how });
  }

  async call(method, body = {}, how = {}) {
    const { status, json, text } = await this.api(method, body, how);
    assert.equal(status, 200, `${method}: ${status} ${text}`);
    assert.ok(json?.result, `${method}: ${text}`);
    return json.result;
  }

  async stop() {
    this.#endWanted = true;
    const { code, signal } = await this.#child.end('SIGTERM');
    assert.equal(code, 0, `hub ended with code ${code}, signal ${signal}:\n${this.#child.recent()}`);
  }

  signal(name) {
    this.#endWanted = true;
    process.kill(this.pid, name);
  }

  get exited() { return within(this.#child.exited, () => `hub did not end:\n${this.#child.recent()}`); }

  async kill9() {
    this.#endWanted = true;
    await this.#child.end('SIGKILL');
  }

  async restart({ config } = {}) {
    if (config) this.#config = merged(this.#config, config);
    await this.start();
  }

  async reload(change = {}) {
    const isText = typeof change === 'string';
    const config = isText ? this.#config : merged(this.#config, change);
    const asStarted = merged(config, { http_server: { port: change.http_server?.port ?? this.#portInFile } });
    await writeFile(join(this.dir, 'belfry.json'), isText ? change : JSON.stringify(asStarted, null, 2));
    const before = this.lines.length;
    process.kill(this.pid, 'SIGHUP');
    await this.waitForLine(line => / reload (not_)?reloaded /.test(line), { from: before });
    const lines = this.lines.slice(before).filter(line => / reload /.test(line));
    if (!isText && / reload reloaded /.test(lines.at(-1))) this.#config = config;
    return lines;
  }

  atEnd(fn) { this.#atEnd.push(fn); }

  /** After the test: the hub must still be there, unless the test ended it, and must end well. */
  async cleanUp() {
    for (const fn of this.#atEnd) fn();
    if (!this.#child) return;
    if (this.#endWanted) await this.#child.end('SIGKILL');
    else await this.stop();
  }
}

export async function startHub(t, { config = {}, dir, ...options } = {}) {
  const folder = dir ?? (await mkdtemp(join(tmpdir(), 'belfry-test-')));
  const hub = new Hub(folder, config, options);
  t?.after(async () => {
    try {
      await hub.cleanUp();
    } finally {
      if (!dir) await rm(folder, { recursive: true, force: true });
    }
  });
  await hub.start();
  return hub;
}
