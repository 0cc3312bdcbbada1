import { rowsOf } from "../load.mjs";
import { ALL } from "../systems/systems.mjs";

const N_CLIENTS = 10_000;
const SIZE = 16_384;
const SMALL_SIZE = 64;
const N_ALONE = 1_000;
const GIANT_MS = 3_000;

export const title = "Small channels beside giant broadcasts";
export const description = `
A channel with one subscriber, to which ${SMALL_SIZE} bytes are published one at a time, while publications of ${SIZE} bytes to ${N_CLIENTS} clients follow each other
without a pause for ${GIANT_MS / 1000} s: from the sending of a small one until its subscriber has it, alone and beside the giants. A server that writes a giant to
all its clients in one go lets everybody else wait that long. *Giants* is how many there were, *last* how long one takes to its last client. The load program reads
the giants on the same machine, and looks for the small ones between every 16 sockets of the others.`;

export const columns = [
  { key: "alone", title: "small alone, p99, ms", digits: 2 },
  { key: "p50", title: "beside giants, p50", digits: 2 },
  { key: "p99", title: "p99", digits: 2 },
  { key: "max", title: "max", digits: 2 },
  { key: "giants", title: "giants" },
  { key: "last", title: "last of a giant, p50, ms", digits: 0 },
];

async function measure(load) {
  await load.ask("clients", N_CLIENTS);
  const alone = await load.ask("probe", N_ALONE, SMALL_SIZE);
  const { giants, small, last } = await load.ask("giant", GIANT_MS, SIZE, SMALL_SIZE);
  return {
    alone: alone.receipt.p99,
    p50: small.p50,
    p99: small.p99,
    max: small.max,
    giants,
    last: last.p50,
  };
}

export function run(bench) {
  return rowsOf(bench, ALL, {}, measure);
}
