import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

import { startHub, startUpstream } from "../belfry.mjs";

const COUNTS = [1, 3, 20];
const RUNS = 300;
const KEY = "bench";
const PATIENCE_MS = 120_000;
// change: the document differs from 10 ms to 10 ms, so that each refresh stores and publishes.
const KINDS = [
  { name: "fixed", title: "unchanged", query: "" },
  { name: "changing", title: "changed", query: "&change=10ms" },
];

export const title = "Refresh of upstreams that answer in 10 ms";
export const description = `
How long a caller waits for \`POST /api/feed_refresh\`, one refresh after the other over one keep-alive connection, ${RUNS} for each case after 20 to warm
up. A feed has 1, 3 or 20 upstreams, all on \`belfry-upstream\`, which answers 200 bytes after 10 ms. Every refresh fetches all of them:
refreshes share a run only while it lasts, and these follow each other. *Unchanged*: the upstreams say the same each time, so nothing is
published. *Changed*: they say something else each time, so each refresh commits the snapshot and a publication to a file (\`storage.durability\` \`normal\`).
Before each refresh the same program asks the upstream directly: *upstream alone* has the timer and the system calls of the upstream in
it, and what is above it is the hub's.`;

export const columns = [
  { key: "p50", title: "p50, ms", digits: 2 },
  { key: "p90", title: "p90", digits: 2 },
  { key: "p99", title: "p99", digits: 2 },
  { key: "min", title: "min", digits: 2 },
  { key: "mean", title: "mean", digits: 2 },
  { key: "upstream", title: "upstream alone, p50", digits: 2 },
  { key: "added", title: "added by the hub, p50", digits: 2 },
];

const runProgram = promisify(execFile);

function upstreams(count, query, port) {
  const url = `http://127.0.0.1:${port}/json?size=200&latency=10ms${query}&k={k}`;
  return Array.from({ length: count }, (_, i) => ({ name: `u${i + 1}`, url: `${url}&n=${i + 1}` }));
}

function config(bench, port) {
  const feeds = KINDS.flatMap(({ name, query }) =>
    COUNTS.map((count) => ({
      name: `${name}${count}`,
      channel: `feed:${name}${count}`,
      params: { k: "[0-9]{1,8}" },
      timeout: "2s",
      upstreams: upstreams(count, query, port),
    })),
  );
  const path = join(bench.directory, "belfry.sqlite");
  return {
    http_api: { key: KEY },
    channel: { namespaces: [{ name: "feed", history_size: 10, history_ttl: "60s" }] },
    storage: { path, durability: "normal" },
    feeds,
  };
}

async function refresh(bench, hub, upstream, kind, count) {
  const body = JSON.stringify({ feed: `${kind.name}${count}`, params: { k: "1" } });
  const control = `/json?size=200&latency=10ms${kind.query}`;
  const options = [
    ...["--port", hub.port, "--key", KEY, "--body", body, "--runs", RUNS],
    ...["--control-port", upstream.port, "--control-path", control],
  ];
  const program = join(bench.build, "bench-refresh");
  const { stdout } = await runProgram(program, options.map(String), { timeout: PATIENCE_MS });
  const told = JSON.parse(stdout);
  const changed = kind.query ? RUNS : 0;
  if (told.n_changed !== changed) {
    throw new Error(`${body}: ${told.n_changed} of ${RUNS} refreshes changed, not ${changed}`);
  }
  return {
    p50: told.refresh.p50_ms,
    p90: told.refresh.p90_ms,
    p99: told.refresh.p99_ms,
    min: told.refresh.min_ms,
    mean: told.refresh.mean_ms,
    upstream: told.control.p50_ms,
    added: told.refresh.p50_ms - told.control.p50_ms,
  };
}

export async function run(bench) {
  const upstream = await startUpstream(bench);
  const hub = await startHub(bench, config(bench, upstream.port));
  const rows = [];
  for (const kind of KINDS) {
    for (const count of COUNTS) {
      const values = await refresh(bench, hub, upstream, kind, count);
      rows.push({ case: `${count} upstream${count > 1 ? "s" : ""}, ${kind.title}`, values });
    }
  }
  await hub.program.terminate();
  await upstream.program.terminate();
  return rows;
}
