// A system under the load of bench-load: what the measures have in common.
import { join } from "node:path";

import { Program } from "./program.mjs";

const PATIENCE_MS = 300_000;
const CHANNEL = "bench:1";

function options(server, { ownChannels = false }) {
  const named = {
    protocol: server.protocol,
    port: server.port,
    path: server.path,
    channel: CHANNEL,
    "publish-path": server.publishPath,
    key: server.key,
    pids: server.pids().join(","),
    tokens: server.tokens,
  };
  return [
    ...Object.entries(named).flatMap(([key, value]) => (value ? [`--${key}`, value] : [])),
    ...(server.tls ? ["--tls"] : []),
    ...(ownChannels ? ["--own-channels"] : []),
  ];
}

class Load {
  #program;

  constructor(program) {
    this.#program = program;
  }

  // A command of bench-load, as its words.
  ask(...words) {
    return this.#program.ask(words.join(" "), PATIENCE_MS);
  }
}

// Starts a system and its load, and gives back what task(load, server, system) does.
export async function underLoad(bench, system, choice, task) {
  const server = await system.start(bench, choice);
  const path = join(bench.build, "bench-load");
  const program = new Program("bench-load", path, options(server, choice));
  const result = await task(new Load(program), server, system);
  await program.endInput();
  await server.stop();
  return result;
}

// One row per system, each in its turn; task gives the values.
export async function rowsOf(bench, systems, choice, task) {
  const rows = [];
  for (const system of systems) {
    console.error(`  ${system.title}`);
    const values = await underLoad(bench, system, choice, task);
    rows.push({ case: system.title, system: system.name, values });
  }
  return rows;
}

// The rows with the ratio of a value to that of one system, both of the same repeat.
export function withRatio(rows, key, system, as) {
  const base = rows.find((row) => row.system === system).values[key];
  return rows.map((row) => ({ ...row, values: { ...row.values, [as]: row.values[key] / base } }));
}
