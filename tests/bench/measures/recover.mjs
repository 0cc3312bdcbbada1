import { join } from "node:path";

import { call, figures, KEY, startHub } from "../belfry.mjs";
import { peakMemory, settledMemory } from "../memory.mjs";
import { Program } from "../program.mjs";

const N_CLIENTS = 10_000;
const N_PUBLICATIONS = 20;
const CHANNEL = "bench:1";
const DATA = "x".repeat(198); // 200 bytes of JSON

const task = `come back and recover ${N_PUBLICATIONS} publications each`;
export const title = `${N_CLIENTS} clients ${task}`;
export const description = `
${N_CLIENTS} WebSocket clients of one channel come back at once, each with the same position, and recover ${N_PUBLICATIONS} publications of ${DATA.length + 2} bytes. *Kept running*: the
clients drop their connections, and the hub goes on. *Killed*: the hub is ended by SIGKILL with all of them connected, and started again on the same file; its memory is cold. Up
to 4,000 handshakes are under way at a time, because the kernel keeps 4,096 connections that wait to be accepted. The clock runs from the
first connect until the last client is live; a client's own time is from its connect to its reply. Each must get \`recovered: true\`, the epoch that it
knew, and exactly its publications in order; afterwards a new one must reach every client. *Reads* is the difference of
\`belfry_storage_reads_total\`; *peak* is \`VmHWM\` of the hub, *after* its resident memory once it is steady.`;

export const columns = [
  { key: "all", title: "until all are live, ms" },
  { key: "p50", title: "a client, p50, ms" },
  { key: "p99", title: "p99" },
  { key: "reads", title: "reads of the storage" },
  { key: "peak", title: "peak memory of the hub, MB", digits: 1 },
  { key: "after", title: "memory after, MB", digits: 1 },
];

function start(bench, port) {
  const history = { history_size: 100, history_ttl: "1h", force_recovery: true };
  return startHub(bench, {
    http_server: { address: "127.0.0.1", port },
    http_api: { key: KEY },
    prometheus: { enabled: true },
    client: { insecure: true, connection_limit: 0 },
    channel: { namespaces: [{ name: "bench", ...history }] },
    storage: { path: join(bench.directory, "belfry.sqlite"), durability: "normal" },
  });
}

async function publish(hub) {
  return (await call(hub, "publish", { channel: CHANNEL, data: DATA })).offset;
}

async function comeBack(hub, clients) {
  const reads = async () => (await figures(hub)).get("belfry_storage_reads_total");
  const before = await reads();
  const { live, ms, client } = await clients.ask("recover");
  const after = await reads();
  const now = await figures(hub);
  if (live !== N_CLIENTS || now.get("belfry_node_num_subscriptions") !== N_CLIENTS) {
    throw new Error(`${live} clients are live`);
  }
  const peak = peakMemory(hub.program.pid) / 1e6;
  const memory = (await settledMemory([hub.program.pid])) / 1e6;
  await clients.ask(`await ${await publish(hub)}`);
  return {
    all: ms,
    p50: client.p50_ms,
    p99: client.p99_ms,
    reads: after - before,
    peak,
    after: memory,
  };
}

async function openClients(bench, hub) {
  const path = join(bench.build, "bench-recover");
  const clients = new Program("bench-recover", path, [
    ...["--port", hub.port, "--channel", CHANNEL],
    ...["--clients", N_CLIENTS, "--publications", N_PUBLICATIONS],
  ]);
  const { offset } = await clients.ask("subscribe");
  if (offset < N_PUBLICATIONS) {
    throw new Error(`there are ${offset} publications`);
  }
  await clients.ask("leave");
  return clients;
}

async function warm(bench) {
  const hub = await start(bench, 0);
  for (let i = 0; i < N_PUBLICATIONS; i++) {
    await publish(hub);
  }
  const clients = await openClients(bench, hub);
  const values = await comeBack(hub, clients);
  await clients.endInput();
  await hub.program.terminate();
  return values;
}

// On the file of the warm form, after which there is one publication more.
async function cold(bench) {
  const first = await start(bench, 0);
  const clients = await openClients(bench, first);
  await first.program.kill();
  const hub = await start(bench, first.port);
  const values = await comeBack(hub, clients);
  await clients.endInput();
  await hub.program.terminate();
  return values;
}

export async function run(bench) {
  return [
    { case: "the hub kept running", values: await warm(bench) },
    { case: "the hub was killed and started again", values: await cold(bench) },
  ];
}
