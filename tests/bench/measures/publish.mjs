// How many publications a second are acknowledged over the HTTP API, by wrk over 64 keep-alive
// connections: without history, with each kind of durability, and by Nchan with the same history in
// memory. A system gets a fresh process and a fresh file for each case; that every publication was
// taken, and is in history where there is one, is checked at the end of each.
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { difference, quantile } from "../../e2e/lib/prometheus.mjs";
import { call, figures, KEY, startHub } from "../belfry.mjs";
import { publishedByNchan, startNchan } from "../nchan.mjs";

const SCRIPT = fileURLToPath(new URL("../publish.lua", import.meta.url));
const N_CONNECTIONS = 64;
const WARM_UP_SECONDS = 1;
const HISTORY_SIZE = 100;
const DATA = JSON.stringify("x".repeat(198)); // 200 bytes

export const title = `Acknowledged publishes of ${DATA.length} bytes, ${N_CONNECTIONS} connections`;
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

  async start({ build, directory }, nChannels) {
    const files = join(directory, `${this.name}-${nChannels}`);
    mkdirSync(files);
    const namespace = this.history && { history_size: HISTORY_SIZE, history_ttl: "5m" };
    this.hub = await startHub(
      { build, directory: files },
      {
        http_api: { key: KEY },
        prometheus: { enabled: true },
        channel: { namespaces: [{ name: "bench", ...namespace }] },
        storage: { path: join(files, "belfry.sqlite"), durability: this.durability },
      },
    );
    this.port = this.hub.port;
    this.nChannels = nChannels;
  }

  figures() {
    return figures(this.hub);
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
        last += (await call(this.hub, "history", { channel: `bench:${i}`, limit: 0 })).offset;
      }
      expectTaken(`${this.title}, in history`, last, acknowledged, nLoads);
    }
  }

  stop() {
    return this.hub.program.terminate();
  }
}

class Nchan {
  constructor(workers) {
    this.workers = workers;
    this.name = "nchan";
    this.title = `Nchan, ${workers} worker${workers > 1 ? "s" : ""}`;
  }

  async start(bench) {
    this.nchan = await startNchan(bench, { workers: this.workers, historySize: HISTORY_SIZE });
    this.port = this.nchan.port;
  }

  figures() {}

  values() {
    return {};
  }

  async check(acknowledged, nLoads) {
    expectTaken(this.title, await publishedByNchan(this.nchan), acknowledged, nLoads);
  }

  stop() {
    return this.nchan.program.terminate();
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
  const url = `http://127.0.0.1:${system.port}/`;
  const args = [kind, nChannels, DATA, KEY];
  const warmUp = await load(url, WARM_UP_SECONDS, args);
  const earlier = await system.figures();
  const told = await load(url, bench.seconds, args);
  const values = system.values(await system.figures(), earlier);
  await system.check(warmUp.requests + told.requests, 2);
  await system.stop();
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
