import { rowsOf, withRatio } from "../load.mjs";
import { settledMemory } from "../memory.mjs";
import { point } from "../points.mjs";
import * as systems from "../systems/systems.mjs";

const FEW = 2_000;
const MANY = 18_000;
const COUNTS = [0, FEW, MANY];
const PING_SECONDS = 5;
const REST_SECONDS = 5; // without pings; Redis takes that long to let go of its buffers

const { belfry, nchan, variant } = systems;
const SYSTEMS = [
  belfry,
  variant(belfry, "belfry-tokens", "belfry, with tokens", { tokens: MANY }),
  variant(belfry, "belfry-tls", "belfry, TLS", { tls: true }),
  nchan,
  variant(nchan, "nchan-tls", "Nchan, TLS", { tls: true }),
  ...systems.PEERS.filter((system) => system !== nchan),
];

export const title = "Memory of an idle client";
export const description = `
What an idle subscribed client costs the server in resident memory of its own. Clients connect, subscribe to one channel, and wait until each
has been pinged (every ${PING_SECONDS} s here, so that this does not take long; Redis has no pings and is given ${REST_SECONDS} s); then \`Rss\` in
\`/proc/PID/smaps_rollup\` of all processes of the system is read until it is steady for a second. *Bytes per client* is the growth from ${FEW} to ${MANY} clients:
*With tokens* each client is a user of its own, with a token that ends (and with \`info\`), in a namespace with presence;
what the server needs for itself is left out, and so is what it takes in reserve at its start (nginx: a record for each of its 20,000 connections).
Memory that the kernel holds for sockets is not in it. NATS and Redis speak
protocols of their own on TCP, which need no HTTP; the others are WebSocket servers. Where memory is collected as garbage (NATS, ws, Socket.IO, Tornado) the
figure depends on when that happened last.`;

export const columns = [
  { key: "slope", title: "bytes per client" },
  { key: "ofBelfry", title: "of belfry", digits: 2 },
  { key: "at0", title: "MB without clients", digits: 1 },
  { key: `at${FEW}`, title: `with ${FEW}`, digits: 1 },
  { key: `at${MANY}`, title: `with ${MANY}`, digits: 1 },
];

export const plots = [
  {
    name: "memory",
    title: "Resident memory of the server",
    x: "idle clients",
    y: "MB",
    series: (cases) =>
      cases.map((one) => ({
        title: one.case,
        points: COUNTS.map((count) => point(count, one.values[`at${count}`])),
      })),
  },
];

async function go(load, system, count) {
  await load.ask("clients", count);
  await (system.can.pings ? load.ask("pings") : load.ask("idle", REST_SECONDS));
}

async function measure(load, server, system) {
  const memory = {};
  for (const count of COUNTS) {
    if (count > 0) {
      await go(load, system, count);
    }
    memory[count] = await settledMemory(server.pids());
  }
  const totals = COUNTS.map((count) => [`at${count}`, memory[count] / 1e6]);
  return {
    slope: (memory[MANY] - memory[FEW]) / (MANY - FEW),
    ...Object.fromEntries(totals),
  };
}

export async function run(bench) {
  const rows = await rowsOf(bench, SYSTEMS, { pingSeconds: PING_SECONDS }, measure);
  return withRatio(rows, "slope", "belfry", "ofBelfry");
}
