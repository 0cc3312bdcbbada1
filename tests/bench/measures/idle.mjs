// What an idle subscribed client costs the server in resident user-space memory. The slope between
// two numbers of clients leaves out what the server needs for itself; the memory is read after each
// client has been pinged and has answered, when all buffers have been used that an idle client uses.
import { join } from "node:path";

import { startHub } from "../belfry.mjs";
import { settledMemory } from "../memory.mjs";
import { Program } from "../program.mjs";

const FEW = 2_000;
const MANY = 10_000;

export const title = `Memory of an idle subscribed client, ${FEW} to ${MANY} clients`;
export const columns = [
  { key: "slope", title: "slope, bytes per client" },
  { key: "anonymous", title: "of it anonymous" },
  { key: "average", title: `(${MANY} clients - none) / ${MANY}, bytes` },
  { key: "total", title: `resident at ${MANY} clients, MB`, digits: 1 },
  { key: "connect", title: `${FEW} to ${MANY} clients subscribed within, ms` },
];

const config = {
  client: { insecure: true, connection_limit: 0, ping_interval: "5s", pong_timeout: "3s" },
  channel: { namespaces: [{ name: "bench" }] },
  storage: { durability: "memory" },
};

async function grow(clients, hub, count) {
  const { ms } = await clients.ask(`clients ${count}`);
  await clients.ask("pings");
  return { ms, ...(await settledMemory(hub.program.pid)) };
}

export async function run(bench) {
  const hub = await startHub(bench, config);
  const none = await settledMemory(hub.program.pid);
  const path = join(bench.build, "bench-clients");
  const clients = new Program("bench-clients", path, ["--port", hub.port, "--channel", "bench:1"]);
  const few = await grow(clients, hub, FEW);
  const many = await grow(clients, hub, MANY);
  await clients.endInput();
  await hub.program.terminate();
  const values = {
    slope: (many.resident - few.resident) / (MANY - FEW),
    anonymous: (many.anonymous - few.anonymous) / (MANY - FEW),
    average: (many.resident - none.resident) / MANY,
    total: many.resident / 1e6,
    connect: many.ms,
  };
  return [{ case: "belfry", values }];
}
