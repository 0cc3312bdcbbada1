// Redis, Debian's: publish and subscribe over its own protocol on TCP.
import { freePort } from "../nginx.mjs";
import { startPeer } from "./peer.mjs";

export const name = "redis";
export const title = "Redis";
export const can = {};

// Nothing is saved. Some descriptors are its own.
export async function start(bench) {
  const port = await freePort();
  const peer = await startPeer(
    title,
    "redis-server",
    [
      ...["--bind", "127.0.0.1", "--port", port, "--tcp-backlog", 4096, "--maxclients", 19_900],
      // It would let in clients from 127.0.0.1 only.
      ...["--protected-mode", "no"],
      ...["--save", "", "--appendonly", "no", "--dir", bench.directory],
    ],
    /Ready to accept connections/,
  );
  return { ...peer, port, protocol: "redis" };
}
