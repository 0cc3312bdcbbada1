import { rowsOf } from "../load.mjs";
import { point } from "../points.mjs";
import * as systems from "../systems/systems.mjs";

const FEW = 10;
const MANY = 10_000;
const SIZE = 200;
const WARM_UP = 500;
const N_PUBLICATIONS = 3_000;

const { belfry, variant } = systems;
const history = { history_size: 100, history_ttl: "5m" };
const durable = (durability) =>
  variant(belfry, `belfry-${durability}`, `belfry, ${durability}`, { history, durability });

const SYSTEMS = [
  variant(belfry, "belfry", "belfry, no history", {}),
  durable("normal"),
  durable("full"),
  ...systems.ALL.filter((system) => system !== belfry),
];

export const title = "Latency beside idle clients";
export const description = `
From the sending of a publication of ${SIZE} bytes until its one subscriber has it, ${N_PUBLICATIONS} publications one after the other, with ${FEW} and then with ${MANY} idle
clients of another channel on the same server. One process sends and receives. *normal* and *full*: the publication is in a history on disk first,
with that \`storage.durability\`; in \`full\` it has been synced to the disk under \`TMPDIR\` by then. No peer writes to a disk here. Below
a tenth of a millisecond it is the wake-up of two processes that is measured more than the server: the floor is no lower bound there.`;

export const columns = [
  ...[FEW, MANY].flatMap((count) => [
    { key: `p50at${count}`, title: `p50 beside ${count}, ms`, digits: 3 },
    { key: `p99at${count}`, title: `p99`, digits: 3 },
  ]),
  { key: "ratio", title: `p50 beside ${MANY} of ${FEW}`, digits: 2 },
];

export const plots = [
  {
    name: "latency",
    title: "From sending to receipt, p50",
    x: "idle clients beside it",
    y: "ms",
    series: (cases) =>
      cases.map((one) => ({
        title: one.case,
        points: [FEW, MANY].map((count) => point(`${count}`, one.values[`p50at${count}`])),
      })),
  },
];

async function measure(load) {
  const values = {};
  for (const count of [FEW, MANY]) {
    await load.ask("clients", count);
    await load.ask("probe", WARM_UP, SIZE);
    const { receipt } = await load.ask("probe", N_PUBLICATIONS, SIZE);
    values[`p50at${count}`] = receipt.p50;
    values[`p99at${count}`] = receipt.p99;
  }
  return { ...values, ratio: values[`p50at${MANY}`] / values[`p50at${FEW}`] };
}

export function run(bench) {
  return rowsOf(bench, SYSTEMS, {}, measure);
}
