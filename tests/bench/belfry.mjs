// Starts the hub and the test upstream, each on a port that the kernel chooses.
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { Program } from "./program.mjs";

export async function startHub(bench, config) {
  const file = join(bench.directory, "belfry.json");
  const http_server = { address: "127.0.0.1", port: 0 };
  writeFileSync(file, JSON.stringify({ http_server, ...config }, null, 2));
  const program = new Program("belfry", join(bench.build, "belfry"), ["--config", file]);
  const [, port] = await program.line(/ server listening .*\bport=(\d+)/);
  return { program, port: Number(port) };
}

export async function startUpstream(bench) {
  const path = join(bench.build, "belfry-upstream");
  const program = new Program("belfry-upstream", path, ["--port", "0"]);
  const [, port] = await program.line(/^listening http:\/\/127\.0\.0\.1:(\d+)/);
  return { program, port: Number(port) };
}
