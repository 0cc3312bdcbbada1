// The fan-out as a Node.js program writes it: one HTTP server, one keep-alive agent, Promise.all.
// GET /feed?u=COUNT&l=MILLISECONDS&k=KEY asks COUNT upstreams at once and answers
// {"u1":...,"u2":...}. With --share, who asks for what is being gathered gets the same answer.
import { Agent, createServer, get } from "node:http";
import { parseArgs } from "node:util";

import { listen } from "./publish_server.mjs";

const { values: options } = parseArgs({
  options: { upstream: { type: "string" }, share: { type: "boolean", default: false } },
});
const agent = new Agent({ keepAlive: true, maxFreeSockets: 5120 });
const gathering = new Map();

function fetchJson(path) {
  return new Promise((resolve, reject) => {
    const target = { host: "127.0.0.1", port: options.upstream, path, agent };
    const request = get(target, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("end", () => {
        if (response.statusCode !== 200) {
          reject(new Error(`${path}: ${response.statusCode}`));
          return;
        }
        resolve(JSON.parse(Buffer.concat(pieces).toString()));
      });
    });
    request.on("error", reject);
  });
}

async function gather(query) {
  const path = `/json?size=200&latency=${query.get("l")}ms&k=${query.get("k")}`;
  const names = Array.from({ length: Number(query.get("u")) }, (_, i) => i + 1);
  const answers = await Promise.all(names.map((n) => fetchJson(`${path}&n=${n}`)));
  return JSON.stringify(Object.fromEntries(answers.map((answer, i) => [`u${i + 1}`, answer])));
}

function gatherOnce(url, query) {
  if (!gathering.has(url)) {
    const forget = () => gathering.delete(url);
    const answer = gather(query);
    answer.then(forget, forget);
    gathering.set(url, answer);
  }
  return gathering.get(url);
}

function answer({ url }) {
  const query = new URL(url, "http://localhost").searchParams;
  return options.share ? gatherOnce(url, query) : gather(query);
}

const server = createServer((request, response) => {
  answer(request).then(
    (body) => {
      const length = Buffer.byteLength(body);
      response.writeHead(200, { "Content-Type": "application/json", "Content-Length": length });
      response.end(body);
    },
    (error) => response.writeHead(502).end(error.message),
  );
});
server.keepAliveTimeout = 0; // a caller may pause
listen(server);
