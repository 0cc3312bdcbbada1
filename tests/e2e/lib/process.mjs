// A child program under test: its output as lines that can be waited for, and its end.
//
//   const child = startProcess('/path/to/belfry', ['--config', file], { env, label: 'hub' });
//   await child.waitForLine(line => line.includes('listening'));   // also finds lines that came before; { from: n } not the first n
//   child.lines            every line of stderr and stdout so far
//   child.exited           promise of { code, signal }; never rejects
//   await child.end('SIGTERM')   sends the signal and waits for the end: { code, signal }
//
// Waits are for events; LIMIT_MS only turns a hang into a failure.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export const LIMIT_MS = Number(process.env.BELFRY_TEST_LIMIT_MS ?? 60_000);

/** Rejects with what() when the promise is not settled after limitMs. */
export function within(promise, what, limitMs = LIMIT_MS) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`nothing after ${limitMs} ms: ${typeof what === 'function' ? what() : what}`));
    }, limitMs);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

// What stands in the caller's environment for the hub must not change the configuration under test.
function inherited() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('BELFRY_')));
}

export function startProcess(file, args, { env = {}, cwd, label = file } = {}) {
  const child = spawn(file, args, { cwd, env: { ...inherited(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const lines = [];
  const waiters = new Set();
  const recent = () => lines.slice(-30).join('\n');

  function take(line) {
    lines.push(line);
    for (const waiter of waiters) waiter(line);
  }
  createInterface({ input: child.stdout }).on('line', take);
  createInterface({ input: child.stderr }).on('line', take);

  const exited = new Promise(resolve => {
    child.once('error', error => {
      take(`${label}: ${error.message}`);
      resolve({ code: null, signal: null, error });
    });
    child.once('close', (code, signal) => resolve({ code, signal })); // after all output
  });

  async function waitForLine(matches, { limitMs = LIMIT_MS, from = 0 } = {}) {
    const seen = lines.slice(from).find(matches);
    if (seen !== undefined) return seen;
    let waiter;
    const line = new Promise(resolve => {
      waiter = text => matches(text) && resolve(text);
      waiters.add(waiter);
    });
    const ended = exited.then(({ code, signal }) => {
      throw new Error(`${label} ended (code ${code}, signal ${signal}) before the awaited line:\n${recent()}`);
    });
    try {
      return await within(Promise.race([line, ended]), () => `${label} did not write the awaited line:\n${recent()}`, limitMs);
    } finally {
      waiters.delete(waiter);
    }
  }

  async function end(signal) {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return within(exited, () => `${label} did not end after ${signal}:\n${recent()}`);
  }

  return { pid: child.pid, lines, recent, exited, waitForLine, end };
}
