// The hub's own fan-out: a feed for each number of upstreams, asked for over the server API.
import { join } from "node:path";

import { KEY, startHub } from "../belfry.mjs";

export const name = "belfry";
export const title = "belfry";

function upstreams(port, count, delay) {
  const url = `http://127.0.0.1:${port}/json?size=200&latency=${delay}ms&k={k}`;
  return Array.from({ length: count }, (_, i) => ({ name: `u${i + 1}`, url: `${url}&n=${i + 1}` }));
}

// 256 callers of different feeds with 20 upstreams each are the most there could be.
function config(bench, upstream, kinds) {
  return {
    http_api: { key: KEY },
    channel: { namespaces: [{ name: "feed", history_size: 10, history_ttl: "60s" }] },
    storage: { path: join(bench.directory, "belfry.sqlite"), durability: "normal" },
    upstreams: { max_concurrent: 5120, max_waiting: 10_000, max_refreshes: 1000 },
    feeds: kinds.map(({ count, delay }) => ({
      name: `${count}x${delay}`,
      channel: `feed:${count}x${delay}-{k}`,
      params: { k: "[0-9]{1,8}" },
      upstreams: upstreams(upstream.port, count, delay),
    })),
  };
}

export async function start(bench, upstream, kinds) {
  const { program, port } = await startHub(bench, config(bench, upstream, kinds));
  return { port, pids: () => [program.pid], stop: () => program.terminate() };
}

// An answer without one of the upstreams has status 200 as well.
export function callerOptions({ count, delay }) {
  const body = JSON.stringify({ feed: `${count}x${delay}`, params: { k: "{n}" } });
  return [
    ...["--path", "/api/feed_refresh", "--header", `X-API-Key: ${KEY}`, "--body", body],
    ...["--expect", '"completed":true'],
  ];
}
