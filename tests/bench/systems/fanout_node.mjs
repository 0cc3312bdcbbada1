// Node.js: the fan-out on node:http, with and without sharing the runs of equal requests by hand.
import { fileURLToPath } from "node:url";

import { feedOptions } from "./fanout_feed.mjs";
import { startPeer } from "./peer.mjs";

const SERVER = fileURLToPath(new URL("../peers/fanout_node.mjs", import.meta.url));

function system(name, title, options) {
  const start = (_bench, upstream) =>
    startPeer(title, process.execPath, [SERVER, "--upstream", upstream.port, ...options]);
  return { name, title, start, callerOptions: feedOptions };
}

export const node = system("node", "Node.js", []);
export const nodeSharing = system("node-sharing", "Node.js, sharing by hand", ["--share"]);
