// Runs of belfry for which file modes count: as root they do not, so there the program runs as nobody.
//
//   const user = await ordinaryUser(t);
//   user.dir                                  a folder for its files
//   await user.own()                          makes it and the files in it the user's
//   const { code, text } = await user.belfry(['serve', '--config', file]);    its end, as of command.mjs
import { execFile } from 'node:child_process';
import { chmod, chown, copyFile, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { LIMIT_MS } from './process.mjs';

const BIN = process.env.BELFRY_BIN ?? fileURLToPath(new URL('../../../build/release/belfry', import.meta.url));
const NOBODY = 65534;

export async function ordinaryUser(t) {
  const isRoot = process.getuid() === 0;
  const identity = isRoot ? { uid: NOBODY, gid: NOBODY } : {};
  const top = await mkdtemp(join(tmpdir(), 'belfry-test-'));
  const dir = join(top, 'files');
  await mkdir(dir);
  t.after(async () => {
    await chmod(dir, 0o700); // else its files could not be removed
    await rm(top, { recursive: true, force: true });
  });
  await chmod(top, 0o755);
  const bin = join(top, 'belfry'); // nobody may not get to where it was built
  await copyFile(BIN, bin);
  await chmod(bin, 0o755);
  return {
    dir,
    async own() {
      if (!isRoot) return;
      await chown(dir, NOBODY, NOBODY);
      for (const name of await readdir(dir)) await chown(join(dir, name), NOBODY, NOBODY);
    },
    belfry(args) {
      return new Promise((resolve, reject) => {
        const options = { ...identity, cwd: dir, timeout: LIMIT_MS, killSignal: 'SIGKILL' };
        const child = execFile(bin, args, options, (error, out, err) => {
          if (child.exitCode === null) reject(new Error(`belfry ${args.join(' ')} ended by ${child.signalCode ?? error}:\n${err}${out}`));
          else resolve({ code: child.exitCode, text: err + out });
        });
      });
    },
  };
}
