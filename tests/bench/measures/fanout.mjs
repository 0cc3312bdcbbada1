// How a fan-out scales: 1 to 20 upstreams at once, 1 to 256 callers in a closed loop, of the same
// feed and of different ones. All systems run beside each other and are loaded in turn; the
// upstreams count what they were asked.
import { join } from "node:path";

import { startUpstream } from "../belfry.mjs";
import { Program } from "../program.mjs";
import * as belfry from "../systems/fanout_belfry.mjs";
import * as nginx from "../systems/fanout_nginx.mjs";
import { node, nodeSharing } from "../systems/fanout_node.mjs";
import * as tornado from "../systems/fanout_tornado.mjs";

const PLAIN = [belfry, nginx, node, tornado];
const WITH_SHARING = [belfry, nodeSharing, nginx, node, tornado];
const COUNTS = [1, 3, 5, 10, 20];
const N_NUMBERS = 256; // different parameters in turn: more than there are callers
const WARM_UP_MS = 500;
const MAX_MS = 1500;

// delay: of each upstream, in ms.
const LOADS = [
  { group: "1 caller, upstreams of 10 ms", counts: COUNTS, callers: 1, delay: 10 },
  {
    group: "64 callers of the same feed, upstreams of 10 ms",
    ...{ counts: COUNTS, callers: 64, delay: 10, systems: WITH_SHARING },
  },
  {
    group: "64 callers, each time with other parameters, upstreams of 10 ms",
    ...{ counts: COUNTS, callers: 64, delay: 10, numbers: N_NUMBERS },
  },
  {
    group: "64 callers of the same feed, upstreams that answer at once",
    ...{ counts: [1, 3, 20], callers: 64, delay: 0, systems: WITH_SHARING },
  },
  {
    group: "256 callers of the same feed, upstreams of 10 ms",
    ...{ counts: [3, 20], callers: 256, delay: 10, systems: WITH_SHARING },
  },
];

export const title = "Fan-out: one answer from 1 to 20 upstreams";
export const columns = [
  { key: "rate", title: "answers/s" },
  { key: "ofBelfry", title: "of belfry's", digits: 2 },
  { key: "p50", title: "p50, ms", digits: 2 },
  { key: "p99", title: "p99", digits: 2 },
  { key: "cpuPerAnswer", title: "server CPU per answer, us", digits: 1 },
  { key: "cpuPerFetch", title: "server CPU per upstream fetch, us", digits: 1 },
  { key: "fetches", title: "upstream requests per answer", digits: 3 },
];

export const description = `
A caller wants one document from several HTTP APIs. \`bench-callers\` keeps 1, 64 or 256 connections busy: each sends its next request when
its answer is complete, for ${MAX_MS / 1000} seconds after half a second to warm up. The upstreams are all on one \`belfry-upstream\` and answer 200
bytes, after 10 ms or at once; it counts what it was asked. *Same feed*: all callers want the same. *Other parameters*: each
request has another one of ${N_NUMBERS}, so that no two of them that are under way want the same.

Every system is one process with one event loop, asks all upstreams at the same time over kept connections, and answers one JSON object
with a member per upstream:
- belfry: \`POST /api/feed_refresh\`. It checks every upstream's JSON, compares the document with the stored one, and tells what became of each
  upstream (\`storage.durability\` \`normal\`). Who asks for a feed that is being fetched joins that run;
- nginx with Lua (Debian's): \`ngx.location.capture_multi\` to an upstream block with \`keepalive\`, one worker. It joins texts and reads none of them;
- Node.js: \`node:http\` with a keep-alive agent and \`Promise.all\`. *Sharing by hand* adds a table of what is being gathered, so that equal
  requests share one run, as the hub's do;
- Tornado (Debian's): a handler that gathers with \`AsyncHTTPClient\`, with \`max_clients\` raised from 10, in the implementation on pycurl,
  which gives about twice the answers of the one in Python.

64 callers in a closed loop on upstreams of 10 ms cannot get more than 64 / 10 ms = 6,400 answers a second, whatever stands between: more is
possible only where the upstreams answer faster, or with more callers. *Upstreams that answer at once* shows what the systems themselves can do.
CPU per upstream fetch says something only where every answer has all its fetches to itself (*upstream requests per answer* is the
number of upstreams). The load program, the upstream and the server share the machine's cores. *Of belfry's* is the ratio of answers a second within one repeat.
`;

async function statistics(upstream, path, options) {
  const answer = await fetch(`http://127.0.0.1:${upstream.port}${path}`, options);
  return answer.json();
}

async function load(bench, { upstream, system, server, count, callers, delay, numbers }) {
  const program = new Program("bench-callers", join(bench.build, "bench-callers"), [
    ...["--port", server.port, "--pids", server.pids().join(",")],
    ...["--connections", callers, "--numbers", numbers],
    ...system.callerOptions({ count, delay }),
  ]);
  await program.ask(`run ${WARM_UP_MS}`);
  await statistics(upstream, "/stats/reset", { method: "POST" });
  const told = await program.ask(`run ${Math.min(MAX_MS, bench.seconds * 1000)}`);
  const { requests } = await statistics(upstream, "/stats");
  await program.endInput();
  return {
    rate: told.answers / (told.ms / 1000),
    p50: told.latency.p50,
    p99: told.latency.p99,
    cpuPerAnswer: told.cpu_ns / told.answers / 1000,
    cpuPerFetch: told.cpu_ns / requests / 1000,
    fetches: requests / told.answers,
  };
}

// All systems with the same load, one after the other; belfry is the first.
async function compare(bench, upstream, servers, { systems, group, count, ...how }) {
  const rows = [];
  for (const system of systems) {
    const server = servers.get(system);
    const values = await load(bench, { upstream, system, server, count, ...how });
    values.ofBelfry = values.rate / (rows[0]?.values.rate ?? values.rate);
    const title = `${count} upstream${count > 1 ? "s" : ""}, ${system.title}`;
    rows.push({ case: title, group, system: system.name, count, ...how, values });
  }
  return rows;
}

function startAll(bench, upstream) {
  const kinds = [0, 10].flatMap((delay) => COUNTS.map((count) => ({ count, delay })));
  const starts = WITH_SHARING.map(async (system) => [
    system,
    await system.start(bench, upstream, kinds),
  ]);
  return Promise.all(starts).then((pairs) => new Map(pairs));
}

export async function run(bench) {
  const upstream = await startUpstream(bench);
  const servers = await startAll(bench, upstream);
  const rows = [];
  for (const { counts, ...one } of LOADS) {
    console.error(`  ${one.group}`);
    for (const count of counts) {
      const how = { systems: PLAIN, numbers: 1, ...one, count };
      rows.push(...(await compare(bench, upstream, servers, how)));
    }
  }
  await Promise.all([...servers.values()].map((server) => server.stop()));
  await upstream.program.terminate();
  return rows;
}

// One curve per system over the number of upstreams.
function curves(cases, load, key) {
  const chosen = cases.filter((one) => one.group === LOADS[load].group);
  return WITH_SHARING.map(({ name, title }) => ({
    title,
    points: chosen
      .filter((one) => one.system === name)
      .map(({ count, values: { [key]: of } }) => [count, of.median, of.min, of.max]),
  })).filter(({ points }) => points.length > 0);
}

const ONE_AFTER_THE_OTHER = {
  title: "one after the other",
  points: [1, 20].map((count) => [count, 10 * count]),
};

export const plots = [
  {
    name: "fanout-one-call",
    title: "One call to 1 to 20 upstreams of 10 ms each",
    x: "upstreams",
    y: "time of one call, median, ms",
    series: (cases) => [ONE_AFTER_THE_OTHER, ...curves(cases, 0, "p50")],
  },
  {
    name: "fanout-one-call-close",
    title: "The same without the naive way",
    x: "upstreams",
    y: "time of one call, median, ms",
    from: 9,
    series: (cases) => curves(cases, 0, "p50"),
  },
  {
    name: "fanout-same",
    title: "64 callers of the same feed, upstreams of 10 ms",
    x: "upstreams",
    y: "answers per second",
    series: (cases) => curves(cases, 1, "rate"),
  },
  {
    name: "fanout-distinct",
    title: "64 callers, each time with other parameters, upstreams of 10 ms",
    x: "upstreams",
    y: "answers per second",
    series: (cases) => curves(cases, 2, "rate"),
  },
  {
    name: "fanout-at-once",
    title: "64 callers of the same feed, upstreams that answer at once",
    x: "upstreams",
    y: "answers per second",
    series: (cases) => curves(cases, 3, "rate"),
  },
];
