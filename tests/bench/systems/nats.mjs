// NATS, Debian's: publish and subscribe over its own protocol on TCP.
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { startPeer } from "./peer.mjs";

export const name = "nats";
export const title = "NATS";
export const can = { pings: true };

export async function start(bench, { pingSeconds = 25 }) {
  const file = join(mkdtempSync(join(bench.directory, "nats-")), "nats.conf");
  writeFileSync(file, `listen: "127.0.0.1:-1"\nping_interval: "${pingSeconds}s"\n`);
  const listening = /Listening for client connections on 127\.0\.0\.1:(\d+)/;
  const peer = await startPeer(title, "nats-server", ["--config", file], listening);
  return { ...peer, protocol: "nats" };
}
