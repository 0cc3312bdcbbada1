// Socket.IO on Node.js, over its websocket transport.
import { fileURLToPath } from "node:url";

import { startPeer } from "./peer.mjs";

const SERVER = fileURLToPath(new URL("../peers/socketio.mjs", import.meta.url));

export const name = "socketio";
export const title = "Socket.IO";
export const can = { pings: true };

export async function start(_bench, { pingSeconds = 25 }) {
  const peer = await startPeer(title, process.execPath, [SERVER, pingSeconds]);
  const path = "/socket.io/?EIO=4&transport=websocket&channel=";
  return { ...peer, protocol: "socketio", path, publishPath: "/publish/" };
}
