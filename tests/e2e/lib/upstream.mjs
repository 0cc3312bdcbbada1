// A belfry-upstream (the demo and test upstream server) on a free port, ended with the test.
//
//   const upstream = await startUpstream(t);             // t: the context of node:test; or null
//   upstream.url          'http://127.0.0.1:PORT'
//   upstream.port
//   await upstream.stop()       earlier than the end of the test, e.g. to make it unreachable
//   const again = await startUpstream(t, { port: upstream.port })    the same address again
import { fileURLToPath } from 'node:url';

import { startProcess } from './process.mjs';

const BIN = process.env.BELFRY_UPSTREAM_BIN ?? fileURLToPath(new URL('../../../build/release/belfry-upstream', import.meta.url));

export async function startUpstream(t, { port = 0, args = [] } = {}) {
  const child = startProcess(BIN, ['--port', String(port), ...args], { label: 'upstream' });
  const stop = () => child.end('SIGTERM');
  t?.after(stop);
  const line = await child.waitForLine(text => text.includes('listening http://'));
  const { groups } = /listening (?<url>http:\/\/[^/\s]+:(?<port>\d+))/.exec(line);
  return { url: groups.url, port: Number(groups.port), pid: child.pid, lines: child.lines, stop };
}
