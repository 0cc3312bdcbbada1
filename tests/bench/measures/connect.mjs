import { underLoad, withRatio } from "../load.mjs";
import { ALL } from "../systems/systems.mjs";

const STEP = 1_000;
const EARLY = 2_000;
const LATE = 18_000;

export const title = "Connecting";
export const description = `
The system's CPU time per client that connects and subscribes: for the thousand that makes ${EARLY} clients of ${EARLY - STEP}, and for the thousand that makes ${LATE} of
${LATE - STEP}. With at most 256 handshakes under way at a time. *Rush*: ${LATE} clients arrive at a fresh server at once (up to 4,000 handshakes under way, since the kernel keeps 4,096 connections that wait to
be accepted); the clock runs from the first connect until the last is subscribed, and load program and server share the machine. A client of
Belfry sends connect and subscribe in one frame after the handshake; a client of the floor, of Nchan, ws and Tornado is subscribed by its path, and Socket.IO by one more
exchange. NATS and Redis have no HTTP handshake.`;

export const columns = [
  { key: "early", title: `us of CPU at ${EARLY}`, digits: 1 },
  { key: "late", title: `at ${LATE}`, digits: 1 },
  { key: "flat", title: "late of early", digits: 2 },
  { key: "ofFloor", title: "late of floor", digits: 2 },
  { key: "rush", title: `rush of ${LATE}, ms` },
  { key: "rushCpu", title: "us of CPU", digits: 1 },
];

async function growing(load) {
  const cost = async (count) => {
    await load.ask("clients", count - STEP);
    return (await load.ask("clients", count)).cpu_ns / 1e3 / STEP;
  };
  const early = await cost(EARLY);
  const late = await cost(LATE);
  return { early, late, flat: late / early };
}

async function rushing(load) {
  const { ms, cpu_ns } = await load.ask("rush", LATE);
  return { rush: ms, rushCpu: cpu_ns / 1e3 / LATE };
}

export async function run(bench) {
  const rows = [];
  for (const system of ALL) {
    console.error(`  ${system.title}`);
    const values = {
      ...(await underLoad(bench, system, {}, growing)),
      ...(await underLoad(bench, system, {}, rushing)),
    };
    rows.push({ case: system.title, system: system.name, values });
  }
  return withRatio(rows, "late", "floor", "ofFloor");
}
