import { rowsOf, withRatio } from "../load.mjs";
import { ALL } from "../systems/systems.mjs";

const N_CLIENTS = 10_000;
const N_PUBLICATIONS = 10_000;
const N_CONNECTIONS = 64;
const SIZE = 64;

export const title = "Many small channels";
export const description = `
${N_CLIENTS} clients with a channel each, and ${N_PUBLICATIONS} publications of ${SIZE} bytes, one to each channel, over ${N_CONNECTIONS} connections, each of which sends its
next when its last is acknowledged. Once to warm up, once measured. *CPU per publication* has the request, its answer and the one delivery in it.
NATS and Redis take publications over their own protocols, the others by HTTP.`;

export const columns = [
  { key: "cpu", title: "us of CPU per publication", digits: 1 },
  { key: "ofFloor", title: "of floor", digits: 2 },
  { key: "rate", title: "publications/s" },
  { key: "p50", title: "sent to receipt, p50, ms", digits: 2 },
  { key: "p99", title: "p99", digits: 2 },
];

async function measure(load) {
  await load.ask("clients", N_CLIENTS);
  await load.ask("scatter", N_PUBLICATIONS, SIZE, N_CONNECTIONS);
  const told = await load.ask("scatter", N_PUBLICATIONS, SIZE, N_CONNECTIONS);
  return {
    cpu: told.cpu_ns / 1e3 / told.publications,
    rate: told.publications / (told.ms / 1e3),
    p50: told.each.p50,
    p99: told.each.p99,
  };
}

export async function run(bench) {
  const rows = await rowsOf(bench, ALL, { ownChannels: true }, measure);
  return withRatio(rows, "cpu", "floor", "ofFloor");
}
