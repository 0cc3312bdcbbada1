import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { difference, quantile } from "../../e2e/lib/prometheus.mjs";
import { call, KEY } from "../belfry.mjs";
import { belfry, nchan } from "../systems/systems.mjs";

const SCRIPT = fileURLToPath(new URL("../publish.lua", import.meta.url));
const N_CONNECTIONS = 64;
const WARM_UP_SECONDS = 1;
const HISTORY_SIZE = 100;
const DATA = JSON.stringify("x".repeat(198)); // 200 bytes

export const title = `Acknowledged publishes of ${DATA.length} bytes, ${N_CONNECTIONS} connections`;
export const description = `
How many publications a second are acknowledged over \`POST /api/publish\`, and the answer's latency: wrk, one thread, ${N_CONNECTIONS} keep-alive connections, a payload
of ${DATA.length} bytes, for eight seconds (\`--seconds\`) after one to warm up; once all to one channel, once to 1,000 channels in turn. Nobody is subscribed: what is measured is
the way from a request to its answer. Each case has a fresh process and a fresh database.

- belfry, *no history*: the channel keeps nothing, the storage is not used;
- belfry, *memory*, *normal*, *full*: the channel keeps ${HISTORY_SIZE} publications for five minutes, with that \`storage.durability\`. In \`full\` the answer
  comes after the sync to the disk under \`TMPDIR\`;
- Nchan: the same history, in shared memory only, so that nothing survives its end; with one worker process and with two.

*Of no history* and *of Nchan* are ratios within one repeat; of Nchan the better of its two forms counts. The other columns come from \`/metrics\`, as the
difference over the load: the loop's lag (how long a turn of the event loop kept it busy), operations per transaction, and the time from a transaction's
beginning to its commit, each as the upper bound of the histogram's bucket. A load with an answer that is not 2xx ends the run. So does a system that
has not taken exactly the acknowledged publications, up to the ${N_CONNECTIONS} that may have been under way at the end of each load: for Belfry by its counters, without a refused
or failed write, and by the offsets of the channels' history; for Nchan by its own count.

A share *of no history* falls when publishing without history becomes faster: that is the loop's work alone, and history adds a writer thread on the
same cores. With 1,000 channels in turn nearly every publication changes a page of the database of its own: 4 KB are written for ${DATA.length} bytes. Nchan
keeps everything in memory, loses it with its process, and answers without waiting for anything.`;

export const columns = [
  { key: "rate", title: "publishes/s" },
  { key: "ofNone", title: "of no history", digits: 2 },
  { key: "ofNchan", title: "of Nchan", digits: 2 },
  { key: "p50", title: "answer p50, ms", digits: 2 },
  { key: "p99", title: "p99", digits: 2 },
  { key: "lag", title: "loop lag p99, ms, up to", digits: 2 },
  { key: "group", title: "group size, median up to" },
  { key: "commit50", title: "commit p50, ms, up to", digits: 2 },
  { key: "commit99", title: "commit p99", digits: 2 },
];

const runProgram = promisify(execFile);

async function load(url, seconds, args) {
  const options = ["-t1", `-c${N_CONNECTIONS}`, `-d${seconds}s`, "-s", SCRIPT, url, "--", ...args];
  const { stdout } = await runProgram("wrk", options.map(String));
  const told = JSON.parse(/^\{.*\}$/m.exec(stdout)?.[0] ?? "null");
  if (!told || told.broken || told.refused || !told.requests) {
    throw new Error(`not every publish was answered with 2xx:\n${stdout}`);
  }
  return told;
}

// At the end of each load up to one request per connection is under way: it may have been taken.
function expectTaken(what, taken, acknowledged, nLoads) {
  if (taken < acknowledged || taken > acknowledged + nLoads * N_CONNECTIONS) {
    throw new Error(`${what}: ${taken} publications for ${acknowledged} acknowledged requests`);
  }
}

class Belfry {
  constructor(name, title, history, durability) {
    Object.assign(this, { name, title, history, durability });
  }

  async start(bench, nChannels) {
    const history = this.history && { history_size: HISTORY_SIZE, history_ttl: "5m" };
    this.server = await belfry.start(bench, { history, durability: this.durability });
    this.nChannels = nChannels;
  }

  figures() {
    return this.server.figures();
  }

  values(later, earlier) {
    const of = (name, q) => {
      const added = difference(later.histogram(name), earlier.histogram(name));
      return quantile(added, q);
    };
    return {
      lag: 1000 * of("belfry_loop_lag_seconds", 0.99),
      group: of("belfry_storage_group_size", 0.5),
      commit50: 1000 * of("belfry_storage_commit_seconds", 0.5),
      commit99: 1000 * of("belfry_storage_commit_seconds", 0.99),
    };
  }

  // An answer of 200 may say that there was an error: each of these leaves a trace.
  async check(acknowledged, nLoads) {
    const now = await this.figures();
    const errors = ["belfry_storage_overloaded_total", "belfry_storage_failed_total"];
    const broken = errors.find((name) => now.get(name) !== 0);
    if (broken) {
      throw new Error(`${this.title}: ${broken} is ${now.get(broken)}`);
    }
    expectTaken(this.title, now.get("belfry_publications_total"), acknowledged, nLoads);
    if (this.history) {
      let last = 0;
      for (let i = 1; i <= this.nChannels; i++) {
        last += (await call(this.server, "history", { channel: `bench:${i}`, limit: 0 })).offset;
      }
      expectTaken(`${this.title}, in history`, last, acknowledged, nLoads);
    }
  }
}

class Nchan {
  constructor(workers) {
    this.workers = workers;
    this.name = "nchan";
    this.title = `Nchan, ${workers} worker${workers > 1 ? "s" : ""}`;
  }

  async start(bench) {
    const options = { workers: this.workers, historySize: HISTORY_SIZE };
    this.server = await nchan.start(bench, options);
  }

  figures() {}

  values() {
    return {};
  }

  async check(acknowledged, nLoads) {
    expectTaken(this.title, await nchan.published(this.server), acknowledged, nLoads);
  }
}

const SYSTEMS = [
  new Belfry("none", "belfry, no history", false, "normal"),
  new Belfry("memory", "belfry, memory", true, "memory"),
  new Belfry("normal", "belfry, normal", true, "normal"),
  new Belfry("full", "belfry, full", true, "full"),
  new Nchan(1),
  new Nchan(2),
];

async function measure(bench, system, nChannels) {
  const kind = system.name === "nchan" ? "nchan" : "belfry";
  await system.start(bench, nChannels);
  const url = `http://127.0.0.1:${system.server.port}/`;
  const args = [kind, nChannels, DATA, KEY];
  const warmUp = await load(url, WARM_UP_SECONDS, args);
  const earlier = await system.figures();
  const told = await load(url, bench.seconds, args);
  const values = system.values(await system.figures(), earlier);
  await system.check(warmUp.requests + told.requests, 2);
  await system.server.stop();
  const rate = told.requests / (told.us / 1e6);
  return { rate, p50: told.p50_us / 1000, p99: told.p99_us / 1000, ...values };
}

// Of the peer, the better number of workers counts.
function withRatios(rows) {
  const best = (name) =>
    Math.max(...rows.filter((row) => row.system === name).map((row) => row.values.rate));
  const none = best("none");
  const nchan = best("nchan");
  return rows.map(({ system, values, ...row }) => {
    const ofNone = system === "nchan" ? NaN : values.rate / none;
    return { ...row, values: { ...values, ofNone, ofNchan: values.rate / nchan } };
  });
}

export async function run(bench) {
  const rows = [];
  for (const nChannels of [1, 1000]) {
    const some = [];
    for (const system of SYSTEMS) {
      const title = `${system.title}, ${nChannels === 1 ? "1 channel" : `${nChannels} channels`}`;
      console.error(`  ${title}`);
      const values = await measure(bench, system, nChannels);
      some.push({ case: title, system: system.name, values });
    }
    rows.push(...withRatios(some));
  }
  return rows;
}
