// Tornado, Debian's.
import { fileURLToPath } from "node:url";

import { startWebSocketPeer } from "./peer.mjs";

const SERVER = fileURLToPath(new URL("../peers/tornado_server.py", import.meta.url));
const PYTHON = "/usr/bin/python3"; // the one that Debian's packages are for

export const name = "tornado";
export const title = "Tornado";
export const can = { pings: true };

export function start(_bench, { pingSeconds = 25 }) {
  return startWebSocketPeer(title, PYTHON, [SERVER, pingSeconds]);
}
