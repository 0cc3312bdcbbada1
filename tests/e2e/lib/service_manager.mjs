// What systemd would be told: a Unix datagram socket, which node has not, in a program of its own.
//
//   const manager = await startServiceManager(t);
//   const hub = await startHub(t, { env: manager.env });
//   manager.lines                       every datagram so far, 'READY=1 | STATUS=...'
//   await manager.hears(/^STOPPING=1/)  the first that fits, also one that has come before
//   await manager.hears(/^READY=1/, { from: n })     the first that fits behind the first n
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { temporaryFolder } from './command.mjs';
import { startProcess } from './process.mjs';

const BIN = process.env.BELFRY_SERVICE_MANAGER_BIN ?? fileURLToPath(new URL('../../../build/release/tests/service_manager/service_manager', import.meta.url));

export async function startServiceManager(t) {
  const socket = join(await temporaryFolder(t), 'notify');
  const child = startProcess(BIN, [socket], { label: 'service manager' });
  t.after(async () => {
    await child.end('SIGTERM');
    await rm(socket, { force: true });
  });
  await child.waitForLine(line => line === 'listening');
  return {
    env: { NOTIFY_SOCKET: socket },
    get lines() { return child.lines.slice(1); },
    hears: (pattern, { from = 0 } = {}) => child.waitForLine(line => pattern.test(line), { from: from + 1 }),
  };
}
