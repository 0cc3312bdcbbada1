import { rowsOf, withRatio } from "../load.mjs";
import { ALL, tornado } from "../systems/systems.mjs";

const N_CLIENTS = 1_000;
const N_PUBLICATIONS = 1_000;
const N_CONNECTIONS = 64;
const SIZE = 64;
const WARM_UP = 64;

const SYSTEMS = ALL.filter((system) => system !== tornado);

export const title = "Burst";
export const description = `
${N_PUBLICATIONS} publications of ${SIZE} bytes to a channel with ${N_CLIENTS} subscribers, posted at once over ${N_CONNECTIONS} connections, each of which sends its next when its
last is acknowledged. The clock runs until every client has every one of them, exactly once: ${(N_CLIENTS * N_PUBLICATIONS) / 1e6} million messages. Belfry may join messages that wait for the same
client into one frame, as its protocol allows; what a client gets is the same. Over a bare WebSocket every message is a frame, which
servers may still write together. The load program reads on the same machine, so a fast server waits for its readers. Tornado is left out: it takes
more than half a minute.`;

export const columns = [
  { key: "rate", title: "messages/s" },
  { key: "ofFloor", title: "of floor", digits: 2 },
  { key: "cpu", title: "us of CPU per message", digits: 2 },
  { key: "ms", title: "until all have all, ms" },
];

async function measure(load) {
  await load.ask("clients", N_CLIENTS);
  await load.ask("burst", WARM_UP, SIZE, N_CONNECTIONS);
  const { messages, ms, cpu_ns } = await load.ask("burst", N_PUBLICATIONS, SIZE, N_CONNECTIONS);
  return { rate: messages / (ms / 1e3), cpu: cpu_ns / 1e3 / messages, ms };
}

export async function run(bench) {
  return withRatio(await rowsOf(bench, SYSTEMS, {}, measure), "rate", "floor", "ofFloor");
}
