import { rowsOf, withRatio } from "../load.mjs";
import { ALL } from "../systems/systems.mjs";

const N_CLIENTS = 10_000;
const PING_SECONDS = 25;
const WAIT_SECONDS = 10;

export const title = "CPU of idle clients";
export const description = `
What ${N_CLIENTS} idle subscribed clients cost, each of which is pinged every ${PING_SECONDS} s and answers: the CPU time of the
system's processes (user and system, all threads) over ${PING_SECONDS} s, in which every client is pinged once. The window begins ${WAIT_SECONDS} s after the last has
subscribed, so that no round of pings falls on its edge. *Pings* counts those that came to a client: the systems send them in one
burst or spread out, and some send more than one. Floor and Redis send none and are left out. Where pings are WebSocket control frames (Nchan, ws, Tornado) the client's
answer has a masked frame header and nothing else; those of Belfry, Socket.IO and NATS are messages.`;

export const columns = [
  { key: "percent", title: "% of a core", digits: 2 },
  { key: "ofBelfry", title: "of belfry", digits: 2 },
  { key: "pings", title: "pings per client", digits: 2 },
  { key: "each", title: "us of CPU per ping", digits: 2 },
];

async function measure(load) {
  await load.ask("clients", N_CLIENTS);
  await load.ask("idle", WAIT_SECONDS);
  const told = await load.ask("idle", PING_SECONDS);
  return {
    percent: (100 * told.cpu_ns) / 1e6 / told.ms,
    pings: told.pings / N_CLIENTS,
    each: told.cpu_ns / 1e3 / told.pings,
  };
}

export async function run(bench) {
  const systems = ALL.filter((system) => system.can.pings);
  const rows = await rowsOf(bench, systems, { pingSeconds: PING_SECONDS }, measure);
  return withRatio(rows, "percent", "belfry", "ofBelfry");
}
