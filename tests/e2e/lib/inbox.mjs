import { within } from './process.mjs';

/** Values that come one by one, and those who wait for them. */
export class Inbox {
  #waiting = [];
  #takers = [];
  #error;

  put(value) {
    const taker = this.#takers.shift();
    if (taker) taker.resolve(value);
    else this.#waiting.push(value);
  }

  end(error) {
    this.#error = error;
    for (const taker of this.#takers.splice(0)) taker.reject(error);
  }

  next(what) {
    if (this.#waiting.length > 0) return Promise.resolve(this.#waiting.shift());
    if (this.#error) return Promise.reject(this.#error);
    return within(new Promise((resolve, reject) => this.#takers.push({ resolve, reject })), what);
  }
}
