// What the servers on Node.js have in common: POST /publish/NAME publishes its body.
import { createServer } from "node:http";

const PREFIX = "/publish/";
const BACKLOG = 4096;

// publish(name, body): the body is a buffer.
export function publishServer(publish) {
  const server = createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      if (request.method === "POST" && request.url.startsWith(PREFIX)) {
        publish(request.url.slice(PREFIX.length), Buffer.concat(pieces));
        response.end();
      } else {
        response.writeHead(404).end();
      }
    });
  });
  server.keepAliveTimeout = 0; // a publisher may pause
  return server;
}

export function listen(server) {
  server.listen({ host: "127.0.0.1", port: 0, backlog: BACKLOG }, () =>
    console.log(`listening ${server.address().port}`),
  );
}
