// A hub on ws as its documentation writes one: a set of sockets per channel, and every socket is
// sent each publication. GET /sub/NAME subscribes. The argument is the interval of pings in
// seconds.
import WebSocket, { WebSocketServer } from "ws";

import { listen, publishServer } from "./publish_server.mjs";

const PREFIX = "/sub/";
const PING_MS = 1000 * Number(process.argv[2]);

const channels = new Map();

function subscribe(socket, name) {
  if (!channels.has(name)) {
    channels.set(name, new Set());
  }
  channels.get(name).add(socket);
}

function unsubscribe(socket, name) {
  const sockets = channels.get(name);
  sockets.delete(socket);
  if (sockets.size === 0) {
    channels.delete(name);
  }
}

function publish(name, body) {
  for (const socket of channels.get(name) ?? []) {
    if (socket.readyState === WebSocket.OPEN) {
      socket.send(body, { binary: false });
    }
  }
}

const server = publishServer(publish);
const hub = new WebSocketServer({ server, perMessageDeflate: false });

function isHere() {
  this.isHere = true;
}

hub.on("connection", (socket, request) => {
  const name = request.url.slice(PREFIX.length);
  subscribe(socket, name);
  socket.isHere = true;
  socket.on("pong", isHere);
  socket.on("error", console.error);
  socket.on("close", () => unsubscribe(socket, name));
});

setInterval(() => {
  for (const socket of hub.clients) {
    if (socket.isHere) {
      socket.isHere = false;
      socket.ping();
    } else {
      socket.terminate();
    }
  }
}, PING_MS);

listen(server);
