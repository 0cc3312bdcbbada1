// The floor: a bare epoll loop that does nothing but write one prepared frame to each socket.
import { join } from "node:path";

import { startWebSocketPeer } from "./peer.mjs";

export const name = "floor";
export const title = "floor";
export const can = {};

export function start(bench) {
  return startWebSocketPeer(title, join(bench.build, "bench-floor"), ["--port", 0]);
}
