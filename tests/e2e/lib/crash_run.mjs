// One hub that is killed with -9 again and again under load, and what is true afterwards.
//
//   const run = await startRun(t, { durability: 'normal' });
//   await run.killAll(plan);                 // see crash_plan.mjs; the hub is down after it
//   await run.finish();                      // one more start; publishers end, some repeat what was acknowledged, watchers see all
//   const findings = [...run.findings, ...findingsOf(await run.records())];
//   run.figures()                            // { kills, acknowledged, ... }
import { once } from 'node:events';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';

import { Load, isWhole } from './crash_load.mjs';
import { Watcher } from './crash_watchers.mjs';
import { startHub } from './hub.mjs';
import { within } from './process.mjs';

const CHANNELS = Array.from({ length: 6 }, (_, i) => `log:${i}`);
const N_WATCHERS = 6;
const CHANNELS_OF_ONE = 3;
const PAGE = 5000;

// Everything that is published in a run stays recoverable, and nobody is cut for being slow: the
// watchers share one thread with the publishers.
const config = {
  client: { insecure: true, queue_max_size: 268_435_456, recovery_max_publication_limit: 100_000, history_max_size: 33_554_432 },
  channel: { namespaces: [{ name: 'log', history_size: 1_000_000, history_ttl: '24h', force_recovery: true, force_positioning: true }] },
};

const channelsOf = i => Array.from({ length: CHANNELS_OF_ONE }, (_, k) => CHANNELS[(i + k) % CHANNELS.length]);

/** Resolves inside the n-th event. */
function nth(emitter, name, n) {
  let left = n;
  const came = new Promise(resolve => {
    const count = () => {
      left -= 1;
      if (left > 0) return;
      emitter.off(name, count);
      resolve();
    };
    emitter.on(name, count);
  });
  return within(came, () => `${left} more of ${n} times "${name}"`);
}

// Each waits for its moment in the life of a hub whose start has just begun; x is from 0 to 1.
const MOMENTS = {
  /** Most often before it listens. */
  async starting(run, x) {
    await delay(x * run.startMs);
  },
  /** Before the clients are back. */
  async early(run, x) {
    await run.up;
    await delay(x * 15);
  },
  /** Some clients are back. */
  async returning(run, x) {
    await run.up;
    await within(once(run.watchers[0], 'subscribed'), 'the return of the first watcher');
    await delay(x * 15);
  },
  /** At any time of full load; mostly soon, sometimes when there is more to put back. */
  async load(run, x) {
    await run.everybody();
    await delay(x * x * 1000);
  },
  /** An answer has just come: what it says must hold. */
  async answer(run, x) {
    await run.everybody();
    await nth(run.load, 'answer', 1 + Math.floor(x * 400));
  },
  /** A subscriber has just got something: it must still be there. */
  async push(run, x) {
    await run.everybody();
    await nth(run.watchers[1], 'push', 1 + Math.floor(x * 200));
  },
};

class CrashRun {
  watchers = [];
  startMs = 50;
  #hub;
  #findings = [];
  #kills = {};
  #nBeforeListening = 0;
  #outages = [];
  #downSince;

  constructor(t, hub) {
    this.#hub = hub;
    this.load = new Load(t, hub, CHANNELS);
    this.load.on('answer', () => this.#served());
    for (let i = 0; i < N_WATCHERS; i += 1) this.watchers.push(new Watcher(t, hub, `watcher ${i}`, channelsOf(i)));
    this.up = Promise.resolve(true);
  }

  get findings() { return [...this.#findings, ...this.load.refusals, ...this.watchers.flatMap(({ complaints }) => complaints)]; }

  /** All watchers are back, and what was acknowledged before is there. */
  async everybody() {
    await this.up;
    const acknowledged = new Map(this.load.tops);
    await Promise.all(this.watchers.map(watcher => watcher.back()));
    await Promise.all(CHANNELS.map(channel => this.#checkPosition(channel, acknowledged.get(channel))));
  }

  async #checkPosition(channel, acknowledged) {
    const { offset, epoch } = await this.#hub.call('history', { channel, limit: 0 });
    const known = this.watchers.find(({ epochs }) => epochs.has(channel)).epochs.get(channel);
    if (epoch !== known) this.#findings.push(`${channel} began a new epoch: ${epoch} after ${known}`);
    if (offset < acknowledged) this.#findings.push(`${channel} is at ${offset}, ${acknowledged} was acknowledged`);
  }

  async begin() {
    await this.everybody();
    this.load.start();
    await nth(this.load, 'answer', 1);
  }

  async killAll(plan) {
    for (const [i, { kind, x }] of plan.entries()) {
      if (i > 0) await this.#beginStart();
      await MOMENTS[kind](this, x);
      await this.#kill(kind);
    }
  }

  async #kill(kind) {
    this.load.hubIsDown();
    const killed = this.#hub.kill9();
    this.#downSince ??= performance.now();
    this.#kills[kind] = (this.#kills[kind] ?? 0) + 1;
    await killed;
    this.#readLog();
    if (!(await this.up)) this.#nBeforeListening += 1;
    for (const watcher of this.watchers) watcher.goesAway();
  }

  /** The storage of a hub that is killed has nothing to complain about. */
  #readLog() {
    this.#findings.push(...this.#hub.lines.filter(line => /^\S+ (warn|error) storage /.test(line)));
  }

  /** Returns as soon as there is a process; this.up resolves with whether it came to listen. */
  async #beginStart() {
    const before = this.#hub.pid;
    const begin = performance.now();
    this.up = this.#hub.restart().then(() => this.#isUp(begin), error => this.#isNotUp(error));
    while (this.#hub.pid === before) await nextTurn();
  }

  #isUp(begin) {
    this.startMs = performance.now() - begin;
    this.load.hubIsUp();
    return true;
  }

  #isNotUp(error) {
    if (!/signal SIGKILL/.test(error.message)) this.#findings.push(`did not start: ${error.message}`);
    return false;
  }

  #served() {
    if (this.#downSince === undefined || this.load.isDown) return; // or an answer of the hub that was killed
    this.#outages.push(performance.now() - this.#downSince);
    this.#downSince = undefined;
  }

  async finish() {
    await this.#beginStart();
    await this.everybody();
    await this.load.finish();
    await this.load.repeatSome();
    this.history = new Map();
    this.#readLog();
    for (const channel of CHANNELS) this.history.set(channel, await this.#readHistory(channel));
    await Promise.all(this.watchers.flatMap(watcher => [...watcher.seen.keys()].map(channel => watcher.reached(channel, this.history.get(channel).top))));
  }

  async #readHistory(channel) {
    const { epoch, offset: top } = await this.#hub.call('history', { channel, limit: 0 });
    const publications = [];
    for (;;) {
      const since = { offset: publications.at(-1)?.offset ?? 0, epoch };
      const page = await this.#hub.call('history', { channel, limit: PAGE, since });
      if (page.publications.length === 0) return { epoch, top, publications };
      for (const { offset, data } of page.publications) {
        if (!isWhole(data)) this.#findings.push(`${offset} of ${channel} is damaged: ${JSON.stringify(data)}`);
        publications.push({ offset, id: data?.id });
      }
    }
  }

  records() { return { history: this.history, entries: this.load.entries, watchers: this.watchers }; }

  figures() {
    const { entries, nUnanswered } = this.load;
    const sum = numbers => numbers.reduce((total, n) => total + n, 0);
    const kept = new Map([...this.history].map(([channel, { publications }]) => [channel, new Set(publications.map(({ id }) => id))]));
    const plainUnanswered = entries.filter(({ hasKey, offset }) => !hasKey && offset === undefined);
    const outages = [...this.#outages].sort((a, b) => a - b).map(Math.round);
    return {
      kills: sum(Object.values(this.#kills)),
      kinds: this.#kills,
      beforeListening: this.#nBeforeListening,
      acknowledged: entries.filter(({ offset }) => offset !== undefined).length,
      unanswered: nUnanswered,
      neverRepeated: plainUnanswered.length,
      ofThoseKept: plainUnanswered.filter(({ id, channel }) => kept.get(channel).has(id)).length,
      delivered: sum(this.watchers.flatMap(({ seen }) => [...seen.values()].map(list => list.length))),
      recoveries: sum(this.watchers.map(({ nRecoveries }) => nRecoveries)),
      outages: outages.length,
      outageMedianMs: outages[Math.floor(outages.length / 2)],
      outageMaxMs: outages.at(-1),
    };
  }
}

export async function startRun(t, { durability }) {
  const hub = await startHub(t, { config: { ...config, storage: { durability, idempotency_key_limit: 100_000_000 } } });
  const run = new CrashRun(t, hub);
  run.configFile = `${hub.dir}/belfry.json`;
  await run.begin();
  return run;
}
