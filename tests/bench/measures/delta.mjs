import { call, KEY, startHub } from "../belfry.mjs";

const N_SNAPSHOTS = 100;
const N_FIELDS = 100;
const N_CHANGED = 5;
const CHANNEL = "bench:1";
const CASES = [
  { title: "whole", subscribe: {} },
  { title: "deltas", subscribe: { delta: "fossil" } },
];

// The same numbers in every run.
function* numbers() {
  for (let seed = 1; ; seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) {
    yield seed / 2 ** 32;
  }
}

// Fields of about 40 bytes; from one snapshot to the next some of them get another text.
function snapshots() {
  const random = numbers();
  const next = (below) => Math.floor(random.next().value * below);
  const text = () => Array.from({ length: 26 }, () => "abcdefghijklmnop0123456789 "[next(27)]).join("");
  const fields = Array.from({ length: N_FIELDS }, (_, i) => [`field ${i}`, text()]);
  return Array.from({ length: N_SNAPSHOTS }, () => {
    for (let i = 0; i < N_CHANGED; i += 1) {
      fields[next(N_FIELDS)][1] = text();
    }
    return Object.fromEntries(fields);
  });
}

const SNAPSHOTS = snapshots();
const SIZE = JSON.stringify(SNAPSHOTS[0]).length;

export const title = "Bytes of a feed whose snapshots change a little";
export const description = `
One WebSocket client of a channel to which ${N_SNAPSHOTS} snapshots are published, one after the other: JSON of ${SIZE} bytes, ${N_FIELDS} texts of which ${N_CHANGED}, at places
anywhere, are new each time. *Whole*: as they are. *Deltas*: the client has asked for them (\`"delta":"fossil"\`); the first snapshot comes whole. Counted is what
came over the TCP connection after the reply to \`subscribe\`, with the frames' headers. The run fails unless all have come, and as deltas where that was agreed.`;

export const columns = [
  { key: "total", title: "bytes, in all" },
  { key: "each", title: "bytes, a snapshot" },
  { key: "share", title: "of whole, %", digits: 1 },
];

function start(bench) {
  const options = { allowed_delta_types: ["fossil"], delta_publish: true };
  return startHub(bench, {
    http_api: { key: KEY },
    client: { insecure: true },
    channel: { namespaces: [{ name: "bench", ...options }] },
    storage: { durability: "memory" },
  });
}

// The next message; the socket has no others.
function message(socket) {
  return new Promise((resolve, reject) => {
    const closed = () => reject(new Error("the connection was closed"));
    socket.once("close", closed);
    socket.once("message", (data) => {
      socket.off("close", closed);
      resolve(JSON.parse(data));
    });
  });
}

async function subscribed(hub, subscribe) {
  const { WebSocket } = await import("ws"); // not there before the benchmark's setup
  const socket = new WebSocket(`ws://127.0.0.1:${hub.port}/connection/websocket`);
  await new Promise((resolve) => socket.once("open", resolve));
  for (const [id, command] of [{ connect: {} }, { subscribe }].entries()) {
    socket.send(JSON.stringify({ id: id + 1, ...command }));
    const { error } = await message(socket);
    if (error) {
      throw new Error(error.message);
    }
  }
  return socket;
}

async function bytesOf(hub, request) {
  const socket = await subscribed(hub, { channel: CHANNEL, ...request });
  const before = socket._socket.bytesRead;
  for (const [i, data] of SNAPSHOTS.entries()) {
    const pushed = message(socket);
    await call(hub, "publish", { channel: CHANNEL, data });
    const { push } = await pushed;
    if (Boolean(push.pub.delta) !== (i > 0 && Boolean(request.delta))) {
      throw new Error(`snapshot ${i + 1}: ${push.pub.delta ? "a" : "no"} delta`);
    }
  }
  const total = socket._socket.bytesRead - before;
  socket.terminate();
  return total;
}

export async function run(bench) {
  const rows = [];
  for (const { title: name, subscribe } of CASES) {
    const hub = await start(bench);
    const total = await bytesOf(hub, subscribe);
    await hub.program.terminate();
    const share = (100 * total) / (rows[0]?.values.total ?? total);
    rows.push({ case: name, values: { total, each: total / N_SNAPSHOTS, share } });
  }
  return rows;
}
