import { underLoad } from "../load.mjs";
import { settledMemory } from "../memory.mjs";
import { ALL, belfry, variant } from "../systems/systems.mjs";

const N_CLIENTS = 10_000;
const SIZE = 1_024;
const WARM_UP = 3;
const ROUNDS = 20;
const FILL_SIZE = 16_384;
const FILLS = 4_096;
const FILL_MB = (FILLS * FILL_SIZE) / 2 ** 20;

const patient = variant(belfry, "belfry-patient", "belfry, queue of 256 MB", {
  queueBytes: 256 * 2 ** 20,
});
const SYSTEMS = [belfry, patient, ...ALL.filter((system) => system !== belfry)];

export const title = "One slow reader";
export const description = `
Broadcasts of ${SIZE} bytes to ${N_CLIENTS} clients, one at a time: the time until a client has it, without and with one more client that has stopped reading. That
one came first and was sent ${FILL_MB} MB in publications of ${FILL_SIZE} bytes, so that whatever the kernel takes for it is full. *Held* is how much the resident
memory of the system grew meanwhile. Belfry lets \`client.queue_max_size\` wait for a client (1 MB unless configured) and then disconnects it; the
run fails unless exactly that one is counted in \`belfry_slow_consumers_total\`. With a queue of 256 MB it stays connected, and all of it waits. Redis and NATS have such limits too
(32 MB and 64 MB), the floor cuts a client off at 4 MB, the others have none.`;

export const columns = [
  { key: "without", title: "without, p99, ms", digits: 2 },
  { key: "beside", title: "beside a slow reader, p99, ms", digits: 2 },
  { key: "ratio", title: "ratio", digits: 2 },
  { key: "held", title: "held, MB", digits: 1 },
];

async function broadcast(load, clients) {
  await load.ask("clients", clients);
  await load.ask("broadcast", WARM_UP, SIZE);
  return (await load.ask("broadcast", ROUNDS, SIZE)).each.p99;
}

async function expectClosed(server, system) {
  const expected = system === belfry ? 1 : 0;
  const closed = (await server.figures()).get("belfry_slow_consumers_total");
  if (closed !== expected) {
    throw new Error(`${system.title}: ${closed} clients were closed as slow, not ${expected}`);
  }
}

async function besideSlow(load, server, system) {
  await load.ask("clients", 1);
  await load.ask("stall", 1);
  const before = await settledMemory(server.pids());
  await load.ask("broadcast", FILLS, FILL_SIZE);
  const held = ((await settledMemory(server.pids())) - before) / 1e6;
  const beside = await broadcast(load, N_CLIENTS + 1);
  if (server.figures) {
    await expectClosed(server, system);
  }
  return { held, beside };
}

export async function run(bench) {
  const rows = [];
  for (const system of SYSTEMS) {
    console.error(`  ${system.title}`);
    const without = await underLoad(bench, system, {}, (load) => broadcast(load, N_CLIENTS));
    const { held, beside } = await underLoad(bench, system, {}, besideSlow);
    const values = { without, beside, ratio: beside / without, held };
    rows.push({ case: system.title, system: system.name, values });
  }
  return rows;
}
