import { execFileSync } from "node:child_process";
import { readFileSync, readlinkSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";

import { settledMemory } from "../memory.mjs";
import { ALL, floor } from "../systems/systems.mjs";

const STARTS = 10;

export const title = "Start and size";
export const description = `
From the start of the process until its first answer, the median of ${STARTS} starts with warm file caches: the harness waits for the line in which the program says that it listens, then
connects and sends a request (HTTP; PING to Redis; NATS speaks first). The harness's own share, a millisecond or two, is in all of them. *Executable* is the file
without debugging symbols: of nginx without the module, of Node.js and Python the interpreter (Debian's own \`node\` is a stub: Node.js is in a library of
its own). *Shared libraries* is the resident part of all mapped \`.so\` files of the process that does the
work, the C library included; such pages are shared with every other process that uses the same library. *Resident* is all of the system's memory after its first answer.`;

export const columns = [
  { key: "ms", title: "first answer, ms", digits: 1 },
  { key: "executable", title: "executable, MB", digits: 2 },
  { key: "libraries", title: "shared libraries, MB resident", digits: 1 },
  { key: "resident", title: "resident, MB", digits: 1 },
];

const FIRST_WORDS = { nats: "", redis: "PING\r\n" };
const REQUEST = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

function firstAnswer({ port, protocol }) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.write(FIRST_WORDS[protocol] ?? REQUEST);
    socket.once("error", reject);
    socket.once("close", () => reject(new Error(`port ${port}: closed without an answer`)));
    socket.once("data", () => {
      resolve();
      socket.destroy();
    });
  });
}

async function started(bench, system) {
  const server = await system.start(bench, {});
  await firstAnswer(server);
  return { server, ms: performance.now() - server.program.startedAt };
}

function librariesOf(pid) {
  let bytes = 0;
  let isLibrary = false;
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) {
      isLibrary = /\.so(\.[\d.]+)?$/.test(line);
    } else if (isLibrary && line.startsWith("Rss:")) {
      bytes += 1024 * Number(/\d+/.exec(line)[0]);
    }
  }
  return bytes;
}

function executableOf(pid, bench) {
  const stripped = join(bench.directory, "stripped");
  execFileSync("strip", ["-o", stripped, readlinkSync(`/proc/${pid}/exe`)]);
  return statSync(stripped).size;
}

async function sizes(bench, server) {
  const worker = server.pids().at(-1);
  return {
    executable: executableOf(worker, bench) / 1e6,
    libraries: librariesOf(worker) / 1e6,
    resident: (await settledMemory(server.pids())) / 1e6,
  };
}

async function measure(bench, system) {
  const times = [];
  let values;
  for (let i = 0; i < STARTS; i++) {
    const { server, ms } = await started(bench, system);
    times.push(ms);
    values ??= await sizes(bench, server);
    await server.stop();
  }
  times.sort((a, b) => a - b);
  return { ...values, ms: (times[STARTS / 2 - 1] + times[STARTS / 2]) / 2 };
}

export async function run(bench) {
  const rows = [];
  for (const system of ALL.filter((one) => one !== floor)) {
    console.error(`  ${system.title}`);
    rows.push({ case: system.title, system: system.name, values: await measure(bench, system) });
  }
  return rows;
}
