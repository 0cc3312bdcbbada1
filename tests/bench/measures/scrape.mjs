import { difference, quantile } from "../../e2e/lib/prometheus.mjs";
import { call, figures, KEY, startHub, startUpstream } from "../belfry.mjs";
import { underLoad } from "../load.mjs";
import { belfry } from "../systems/systems.mjs";

const N_CLIENTS = 10_000;
const N_FEEDS = 100;
const N_UPSTREAMS = 20;
const N_SCRAPES = 50;
const REFRESHED_AT_ONCE = 10;
const SETTLING_SECONDS = 5; // what clients leave behind when they come

export const title = "A scrape of the metrics";
export const description = `
\`GET /metrics\`, ${N_SCRAPES} times, one after the other, of a hub with ${N_CLIENTS} clients that have a channel each, and of one with ${N_FEEDS} feeds of
${N_UPSTREAMS} upstreams each, all of which have been asked. Nothing else happens but pings. *CPU* is that of the hub, its sending to the scraper with it; *turn* is how long a
turn of the hub's loop took at most, 99 times in 100, as its own histogram tells it (the upper bound of a bucket).`;

export const columns = [
  { key: "cpu", title: "ms of CPU", digits: 2 },
  { key: "turn", title: "turn, p99, ms, up to", digits: 2 },
  { key: "kilobytes", title: "KB" },
];

async function scrapes(hub) {
  const before = await figures(hub);
  let bytes = 0;
  for (let i = 0; i < N_SCRAPES; i++) {
    const answer = await fetch(`http://127.0.0.1:${hub.port}/metrics`);
    bytes = (await answer.text()).length;
  }
  const after = await figures(hub);
  const cpu = "process_cpu_seconds_total";
  const lag = "belfry_loop_lag_seconds";
  return {
    cpu: (1e3 * (after.get(cpu) - before.get(cpu))) / (N_SCRAPES + 1),
    turn: 1e3 * quantile(difference(after.histogram(lag), before.histogram(lag)), 0.99),
    kilobytes: bytes / 1e3,
  };
}

async function besideClients(bench) {
  return underLoad(bench, belfry, { ownChannels: true }, async (load, hub) => {
    await load.ask("clients", N_CLIENTS);
    await load.ask("idle", SETTLING_SECONDS);
    return scrapes(hub);
  });
}

function feedsOf(upstream) {
  const upstreams = Array.from({ length: N_UPSTREAMS }, (_, i) => ({
    name: `upstream_${i}`,
    url: `http://127.0.0.1:${upstream.port}/json?x=${i}`,
  }));
  const feed = (_, i) => ({ name: `feed_${i}`, channel: `feed${i}`, timeout: "20s", upstreams });
  return Array.from({ length: N_FEEDS }, feed);
}

async function withFeeds(bench) {
  const upstream = await startUpstream(bench);
  const feeds = feedsOf(upstream);
  const hub = await startHub(bench, {
    http_api: { key: KEY },
    prometheus: { enabled: true },
    storage: { durability: "memory" },
    feeds,
  });
  for (let i = 0; i < N_FEEDS; i += REFRESHED_AT_ONCE) {
    const some = feeds.slice(i, i + REFRESHED_AT_ONCE);
    await Promise.all(some.map(({ name }) => call(hub, "feed_refresh", { feed: name })));
  }
  const values = await scrapes(hub);
  await hub.program.terminate();
  await upstream.program.terminate();
  return values;
}

export async function run(bench) {
  return [
    { case: `${N_CLIENTS} clients, a channel each`, values: await besideClients(bench) },
    { case: `${N_FEEDS} feeds of ${N_UPSTREAMS} upstreams`, values: await withFeeds(bench) },
  ];
}
