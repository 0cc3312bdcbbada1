// belfry in a terminal of its own: a pseudo terminal, made by the command script of util-linux, whose screen xterm.js keeps.
//
//   const terminal = await startTerminal(t, ['top', '--url', hub.url], { env, rows: 24, columns: 80, term: 'xterm-256color' });
//   terminal.pid                          belfry's
//   await terminal.shows(/clients 3/)     as soon as the screen matches: the match
//   terminal.screen                       its lines, with line ends between them
//   terminal.colourOf(/not reached/)      of the first letter: xterm's number, -1: the usual one
//   await terminal.resize(9, 40)
//   terminal.type('q')
//   terminal.raw                          all that was written, as it was
//   const { code, before, after, nonBlocking } = await terminal.ended
//       belfry's exit code; what "stty -g" said before and after; was the shell's terminal left so?
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import xterm from '@xterm/headless';

import { within } from './process.mjs';

const BIN = process.env.BELFRY_BIN ?? fileURLToPath(new URL('../../../build/release/belfry', import.meta.url));
const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(BELFRY_.*|NO_COLOR|LINES|COLUMNS)$/.test(name)));
const quoted = text => `'${text.replaceAll("'", "'\\''")}'`;
const O_NONBLOCK = 0o4000;

// What the shell says has lines of its own.
function script(args, rows, columns) {
  return [
    'trap : INT QUIT', // Ctrl-C is for belfry
    `stty rows ${rows} cols ${columns}`,
    'echo "tty=$(tty)"; echo "before=$(stty -g)"',
    `sh -c 'echo "pid=$$"; exec "$@"' sh ${[BIN, ...args].map(quoted).join(' ')}`,
    'code=$?; echo; echo "code=$code"; echo "after=$(stty -g)"',
    'sed -n "s/^flags:[[:space:]]*/flags=/p" /proc/self/fdinfo/0',
  ].join('; ');
}

class Terminal {
  raw = '';
  #child;
  #xterm;
  #waiters = new Set();

  constructor(t, args, { env = {}, rows = 24, columns = 80, term = 'xterm-256color' }) {
    this.#xterm = new xterm.Terminal({ rows, cols: columns, allowProposedApi: true });
    this.#child = spawn('script', ['-qefc', script(args, rows, columns), '/dev/null'], {
      env: { ...inherited, SHELL: '/bin/sh', TERM: term, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdin.on('error', () => {}); // it may have ended
    this.#child.stdout.setEncoding('utf8').on('data', text => this.#take(text));
    const closed = new Promise(resolve => this.#child.once('close', resolve));
    t.after(() => this.close());
    this.ended = within(closed, () => `the end of the terminal:\n${this.screen}`).then(() => this.#result());
    this.ended.catch(() => {}); // who awaits it is told
  }

  #take(text) {
    this.raw += text;
    this.#xterm.write(text, () => {
      for (const waiter of this.#waiters) waiter();
    });
  }

  #word(name) { return new RegExp(`\n${name}=(\\S+)\r?\n`).exec(`\n${this.raw}`)?.[1]; }

  #result() {
    return {
      code: Number(this.#word('code')),
      before: this.#word('before'),
      after: this.#word('after'),
      nonBlocking: (parseInt(this.#word('flags'), 8) & O_NONBLOCK) !== 0,
    };
  }

  get pid() { return Number(this.#word('pid')); }

  #line(y) { return this.#xterm.buffer.active.getLine(this.#xterm.buffer.active.viewportY + y); }

  get screen() {
    return Array.from({ length: this.#xterm.rows }, (_, y) => this.#line(y)?.translateToString(true) ?? '').join('\n');
  }

  colourOf(pattern) {
    const before = this.screen.slice(0, pattern.exec(this.screen).index).split('\n');
    const cell = this.#line(before.length - 1).getCell(before.at(-1).length);
    return cell.isFgDefault() ? -1 : cell.getFgColor();
  }

  async #when(look, what) {
    let waiter;
    const found = new Promise(resolve => {
      waiter = () => {
        const result = look();
        if (result) resolve(result);
      };
      this.#waiters.add(waiter);
      waiter();
    });
    try {
      return await within(found, () => `${what} in the terminal:\n${this.screen}`);
    } finally {
      this.#waiters.delete(waiter);
    }
  }

  shows(pattern) { return this.#when(() => pattern.exec(this.screen), pattern); }

  started() { return this.#when(() => this.#word('pid'), 'a process'); }

  async resize(rows, columns) {
    this.#xterm.resize(columns, rows);
    await promisify(execFile)('stty', ['-F', this.#word('tty'), 'rows', String(rows), 'cols', String(columns)]);
  }

  type(text) { this.#child.stdin.write(text); }

  /** The terminal's window is closed. */
  close() { this.#child.kill('SIGKILL'); }
}

export async function startTerminal(t, args, options = {}) {
  const terminal = new Terminal(t, args, options);
  await terminal.started();
  return terminal;
}

/** The terminal is as it was: the screen, its settings, its cursor. */
export function assertClean(terminal, { before, after, nonBlocking }) {
  const count = sequence => terminal.raw.split(sequence).length - 1;
  assert.equal(count('\x1b[?1049h'), 1, 'entered the alternate screen');
  assert.equal(count('\x1b[?1049l'), 1, 'left it');
  assert.ok(terminal.raw.lastIndexOf('\x1b[?25h') > terminal.raw.lastIndexOf('\x1b[?25l'), 'the cursor is seen');
  assert.ok(before?.includes(':'), `stty says ${before}`);
  assert.equal(after, before);
  assert.equal(nonBlocking, false);
}
