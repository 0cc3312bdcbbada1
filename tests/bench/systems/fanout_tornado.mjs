// Tornado, Debian's: the fan-out as its documentation teaches it.
import { fileURLToPath } from "node:url";

import { feedOptions } from "./fanout_feed.mjs";
import { startPeer } from "./peer.mjs";

const SERVER = fileURLToPath(new URL("../peers/fanout_tornado.py", import.meta.url));
const PYTHON = "/usr/bin/python3"; // the one that Debian's packages are for
const IMPLEMENTATION = "curl"; // or simple
const MAX_CLIENTS = 5120;

export const name = "tornado";
export const title = "Tornado";
export { feedOptions as callerOptions };

export function start(_bench, upstream) {
  return startPeer(title, PYTHON, [SERVER, upstream.port, IMPLEMENTATION, MAX_CLIENTS]);
}
