import { underLoad, withRatio } from "../load.mjs";
import { perSystem } from "../points.mjs";
import { ALL, PEERS } from "../systems/systems.mjs";

const COUNTS = [1_000, 10_000, 18_000];
const SIZES = [64, 1_024, 16_384];
const SMALLEST = SIZES[0];
const COUNT_OF_ALL_SIZES = 10_000;

const WARM_UP_ROUNDS = 3;
const CASE_MS = 2_000;
const ROUNDS = { min: 5, max: 400 };

export const title = "Broadcast";
export const description = `
One publication at a time to every client of a channel. The next is sent when all have the last and it is acknowledged, and every client
checks that it gets each one, in order. *CPU per message*: the system's CPU time over the messages delivered, in microseconds. *Last*: from the
sending of a publication until the last client has it, the median of the rounds; *each*: until a client has it, over all clients.
A case is ${WARM_UP_ROUNDS} rounds to warm up and then as many as take about ${CASE_MS / 1000} s (${ROUNDS.min} to ${ROUNDS.max}). For one number of clients the systems follow each
other, each in a fresh process, so that a ratio is between neighbours. The *floor* makes one frame and writes it to each socket with one send(): what
the kernel itself costs on this machine. Belfry has no history here. Its message carries a channel name and a JSON envelope; those of the floor, Nchan, ws
and Tornado are the bare payload, Socket.IO's a short prefix, NATS's and Redis's a line with the name. Load program and server share the machine: while the
clients read, they slow the server's clock down, less its CPU time. Nchan, NATS, Redis, ws, Socket.IO and Tornado have ${SMALLEST} bytes with all numbers of
clients and the other sizes with ${COUNT_OF_ALL_SIZES}.`;

export const columns = [
  { key: "cpu", title: "us of CPU per message", digits: 2 },
  { key: "ofFloor", title: "of floor", digits: 2 },
  { key: "last", title: "last, ms", digits: 2 },
  { key: "each", title: "each p50, ms", digits: 2 },
  { key: "rounds", title: "rounds" },
];

const ofSize = (cases, size) => cases.filter((one) => one.size === size);

export const plots = [
  {
    name: "broadcast-cpu",
    title: `Broadcast of ${SMALLEST} bytes: CPU of the server`,
    x: "clients",
    y: "us per delivered message",
    series: (cases) => perSystem(ofSize(cases, SMALLEST), "cpu", (one) => one.clients),
  },
  {
    name: "broadcast-last",
    title: `Broadcast of ${SMALLEST} bytes: until the last client has it`,
    x: "clients",
    y: "ms, median",
    series: (cases) => perSystem(ofSize(cases, SMALLEST), "last", (one) => one.clients),
  },
  {
    name: "broadcast-sizes",
    title: `Broadcast to ${COUNT_OF_ALL_SIZES} clients: CPU of the server`,
    x: "size of the payload",
    y: "us per delivered message",
    series: (cases) => {
      const compared = cases.filter((one) => one.clients === COUNT_OF_ALL_SIZES);
      return perSystem(compared, "cpu", (one) => `${one.size} bytes`);
    },
  },
];

async function broadcast(load, size) {
  const warmUp = await load.ask("broadcast", WARM_UP_ROUNDS, size);
  const fitting = Math.round((CASE_MS * WARM_UP_ROUNDS) / warmUp.ms);
  const rounds = Math.min(ROUNDS.max, Math.max(ROUNDS.min, fitting));
  const told = await load.ask("broadcast", rounds, size);
  return {
    cpu: told.cpu_ns / 1e3 / told.messages,
    last: told.last.p50,
    each: told.each.p50,
    rounds,
  };
}

function sizesFor(system, clients) {
  const isPeer = PEERS.includes(system);
  return isPeer && clients !== COUNT_OF_ALL_SIZES ? [SMALLEST] : SIZES;
}

function rowsOfSystem(bench, system, clients) {
  console.error(`  ${system.title}, ${clients} clients`);
  return underLoad(bench, system, {}, async (load) => {
    const rows = [];
    await load.ask("clients", clients);
    for (const size of sizesFor(system, clients)) {
      const group = `${size} bytes to ${clients} clients`;
      const values = await broadcast(load, size);
      rows.push({ case: system.title, group, system: system.name, clients, size, values });
    }
    return rows;
  });
}

export async function run(bench) {
  const rows = [];
  for (const clients of COUNTS) {
    for (const system of ALL) {
      rows.push(...(await rowsOfSystem(bench, system, clients)));
    }
  }
  const groups = SIZES.flatMap((size) =>
    COUNTS.map((clients) => rows.filter((row) => row.size === size && row.clients === clients)),
  );
  return groups.flatMap((group) => withRatio(group, "cpu", "floor", "ofFloor"));
}
