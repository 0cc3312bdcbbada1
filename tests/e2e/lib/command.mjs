// One run of belfry to its end: what it wrote and how it ended.
//
//   const { code, text, out } = await belfry(['checkconfig', '--config', file], { env: { NAME: 'value' } });
//       text: stderr and stdout; out: stdout alone
//   const run = await check(t, config);             // checkconfig of an object or a text, in a folder of its own
//   const run = await serveToEnd(t, config, { dir, env })    // a serve that must end by itself
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { LIMIT_MS } from './process.mjs';

const BIN = process.env.BELFRY_BIN ?? fileURLToPath(new URL('../../../build/release/belfry', import.meta.url));
const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('BELFRY_')));

export function belfry(args, { env = {}, cwd } = {}) {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: { ...inherited, ...env }, timeout: LIMIT_MS, killSignal: 'SIGKILL' };
    const child = execFile(BIN, args, options, (error, out, err) => {
      if (child.exitCode === null) reject(new Error(`belfry ${args.join(' ')} ended by ${child.signalCode ?? error}:\n${err}${out}`));
      else resolve({ code: child.exitCode, text: err + out, out });
    });
  });
}

export async function temporaryFolder(t) {
  const dir = await mkdtemp(join(tmpdir(), 'belfry-test-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function run(t, command, config, { dir, env } = {}) {
  const folder = dir ?? (await temporaryFolder(t));
  const file = join(folder, 'config.json');
  await writeFile(file, typeof config === 'string' || Buffer.isBuffer(config) ? config : JSON.stringify(config, null, 2));
  const { text, ...rest } = await belfry([command, '--config', file], { env, cwd: folder });
  return { ...rest, text: text.replaceAll(file, 'config.json') };
}

export const check = (t, config, options) => run(t, 'checkconfig', config, options);
export const serveToEnd = (t, config, options) => run(t, 'serve', config, options);
