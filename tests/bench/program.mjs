// A program that a measure starts: its lines are awaited as events, and none outlives the harness.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const PATIENCE_MS = 60_000;
const running = new Set();

export class Program {
  #child;
  #name;
  #lastLines = [];
  #waiting = null;
  #ended;
  #hasEnded = false;
  #killSignal;
  startedAt = performance.now();

  // killSignal: for a program that has children to end.
  constructor(name, command, args = [], { killSignal = "SIGKILL" } = {}) {
    this.#name = name;
    this.#killSignal = killSignal;
    this.#child = spawn(command, args.map(String), { stdio: ["pipe", "pipe", "pipe"] });
    running.add(this);
    this.#ended = new Promise((resolve) => {
      this.#child.on("error", (error) => resolve(error.message));
      this.#child.on("close", (code, signal) => resolve(code ?? signal));
    });
    this.#ended.then((status) => {
      running.delete(this);
      this.#hasEnded = true;
      this.#waiting?.reject(this.#error(`ended (${status})`));
    });
    this.#child.stdin.on("error", () => {}); // it ended: #ended tells
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => this.#line(line));
    }
  }

  get pid() {
    return this.#child.pid;
  }

  // The match of the next line, on stdout or stderr, that fits.
  line(pattern, patienceMs = PATIENCE_MS) {
    return new Promise((resolve, reject) => {
      if (this.#hasEnded) {
        reject(this.#error("has ended"));
        return;
      }
      const timer = setTimeout(
        () => reject(this.#error(`said nothing like ${pattern} within ${patienceMs} ms`)),
        patienceMs,
      );
      const settle = (how) => (value) => {
        clearTimeout(timer);
        this.#waiting = null;
        how(value);
      };
      this.#waiting = { pattern, resolve: settle(resolve), reject: settle(reject) };
    });
  }

  // Writes a line and gives back the JSON line that answers it.
  async ask(command, patienceMs) {
    const answer = this.line(/^\{.*\}$/, patienceMs);
    this.#child.stdin.write(`${command}\n`);
    return JSON.parse((await answer)[0]);
  }

  // For a program that ends when its input does.
  async endInput() {
    this.#child.stdin.end();
    await this.#expectSuccess();
  }

  async terminate() {
    this.#child.kill("SIGTERM");
    await this.#expectSuccess();
  }

  kill() {
    this.#child.kill(this.#killSignal);
    return this.#ended;
  }

  async #expectSuccess() {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), PATIENCE_MS);
    const status = await this.#ended;
    clearTimeout(timer);
    if (status !== 0) {
      throw this.#error(`ended (${status})`);
    }
  }

  #line(line) {
    this.#lastLines = [...this.#lastLines.slice(-9), line];
    const match = this.#waiting?.pattern.exec(line);
    if (match) {
      this.#waiting.resolve(match);
    }
  }

  #error(what) {
    return new Error([`${this.#name} ${what}; its last lines:`, ...this.#lastLines].join("\n  "));
  }
}

export function killAll() {
  return Promise.all([...running].map((program) => program.kill()));
}
