// A hub under callgrind, and how many instructions of user space its loop spends on something.
//
//   const counted = await startCounted(t, config);        // counted.hub: as in hub.mjs, ~50 times slower
//   const n = await counted.count('broadcast', async () => { ... });
//       the instructions between two requests right before and right after it, without those of the
//       two requests; its profile is in counted.dir, and is kept where BELFRY_PROFILES names a folder
//   const answer = await counted.post('publish', { channel, data });   // over one connection that stays open
//   platform()    what a count depends on beside the hub: one text, to be compared
//
// A request to /metrics is the mark: callgrind writes what it has counted, and begins at zero, each time
// metrics_handle() is entered. That happens inside the hub, at the same instruction each time: neither
// signals nor the gdbserver of valgrind, which needs ptrace, are involved. Only the loop's thread is
// counted. What comes after the answer in the same turn of the loop belongs to the next count.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { API_KEY, merged, startHub } from './hub.mjs';
import { within } from './process.mjs';

const MARK = 'metrics_handle';
const LOOP_THREAD = '-01';

// glibc and OpenSSL choose their routines by what the processor can do: without these, an old one and a new one
// count the same.
const BASE_LINE_CPU = { GLIBC_TUNABLES: 'glibc.cpu.hwcaps=-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-BMI2,-ERMS,-FSRM', OPENSSL_ia32cap: '0x0:0x0' };

export function platform() {
  try {
    const { VERSION_CODENAME: release } = Object.fromEntries(readFileSync('/etc/os-release', 'utf8').split('\n').map(line => line.split('=')));
    const library = execFileSync('dpkg-query', ['-W', '-f', '${Package} ${Version}', 'libwebsockets17'], { stdio: 'pipe' });
    return `${process.arch}, ${release}, ${library}`;
  } catch {
    return `${process.arch}, without Debian's libwebsockets17`;
  }
}

function wrapperInto(dir) {
  return [
    'valgrind', '--tool=callgrind', '--quiet', '--separate-threads=yes', `--dump-before=${MARK}`, `--callgrind-out-file=${join(dir, 'callgrind')}`,
  ];
}

class Counted {
  #agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  #nMarks = 0;
  #markCost = 0;

  constructor(hub, dir) {
    this.hub = hub;
    this.dir = dir;
    hub.atEnd(() => this.#agent.destroy());
  }

  #request(path, body) {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'x-api-key': API_KEY };
    const answered = new Promise((resolve, reject) => {
      const outgoing = http.request({ agent: this.#agent, host: '127.0.0.1', port: this.hub.port, method: 'POST', path, headers });
      outgoing.once('error', reject);
      outgoing.once('response', incoming => {
        let text = '';
        incoming.on('data', part => { text += part; });
        incoming.once('end', () => resolve({ status: incoming.statusCode, text }));
      });
      outgoing.end(body);
    });
    return within(answered, `the answer to POST ${path}`);
  }

  async post(method, params) {
    const { status, text } = await this.#request(`/api/${method}`, JSON.stringify(params));
    assert.equal(status, 200, `${method}: ${status} ${text}`);
    const { result } = JSON.parse(text);
    assert.ok(result, `${method}: ${text}`);
    return result;
  }

  /** What the loop's thread has counted since the mark before. A refused POST: /metrics itself costs more, and never the same. */
  async #mark() {
    assert.equal((await this.#request('/metrics', '')).status, 405);
    this.#nMarks += 1;
    const file = join(this.dir, `callgrind.${this.#nMarks}${LOOP_THREAD}`);
    const text = await readFile(file, 'latin1').catch(() => {
      throw new Error(`callgrind did not write ${file}: is ${MARK}() no longer what serves /metrics, or were symbols stripped?`);
    });
    return { file, n: Number(/^totals: (\d+)$/m.exec(text)?.[1]) };
  }

  async begin() {
    await this.#mark();
    await this.#mark();
    const { n } = await this.#mark();
    assert.ok(n > 0, 'counted nothing between two requests');
    this.#markCost = n;
  }

  async count(name, work) {
    await this.#mark();
    await work();
    const { file, n } = await this.#mark();
    if (process.env.BELFRY_PROFILES) {
      await mkdir(process.env.BELFRY_PROFILES, { recursive: true });
      await copyFile(file, join(process.env.BELFRY_PROFILES, `callgrind.${name}`));
    }
    return n - this.#markCost;
  }
}

export async function startCounted(t, config) {
  const dir = await mkdtemp(join(tmpdir(), 'belfry-callgrind-'));
  const starting = startHub(t, {
    config: merged({ prometheus: { enabled: true } }, config), dir, wrapper: wrapperInto(dir), env: BASE_LINE_CPU,
  });
  t.after(() => rm(dir, { recursive: true, force: true })); // after the hub's end: callgrind writes once more
  const counted = new Counted(await starting, dir);
  await counted.begin();
  return counted;
}
