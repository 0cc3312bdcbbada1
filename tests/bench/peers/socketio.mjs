// A hub on Socket.IO as its documentation writes one: a channel is a room, and a publication is
// emitted to it as the event "m". Clients name their channel in the query. The argument is the
// interval of pings in seconds.
import { Server } from "socket.io";

import { listen, publishServer } from "./publish_server.mjs";

const PING_MS = 1000 * Number(process.argv[2]);

const server = publishServer((name, body) => hub.to(name).emit("m", JSON.parse(body)));
const hub = new Server(server, {
  transports: ["websocket"],
  perMessageDeflate: false,
  serveClient: false,
  pingInterval: PING_MS,
});

// The documentation's page on memory advises to let go of a connection's first request.
hub.on("connection", (socket) => {
  socket.join(socket.handshake.query.channel);
  socket.conn.request = null;
});

listen(server);
