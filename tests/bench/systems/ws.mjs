// The npm package ws on Node.js.
import { fileURLToPath } from "node:url";

import { startWebSocketPeer } from "./peer.mjs";

const SERVER = fileURLToPath(new URL("../peers/ws.mjs", import.meta.url));

export const name = "ws";
export const title = "ws";
export const can = { pings: true };

export function start(_bench, { pingSeconds = 25 }) {
  return startWebSocketPeer(title, process.execPath, [SERVER, pingSeconds]);
}
