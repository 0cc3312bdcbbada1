// Starts the hub and the test upstream, each on a port that the kernel chooses; and what a measure
// asks of a running hub.
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { parseMetrics } from "../e2e/lib/prometheus.mjs";
import { Program } from "./program.mjs";

export const KEY = "bench";

export async function startHub(bench, config) {
  const file = join(bench.directory, "belfry.json");
  const http_server = { address: "127.0.0.1", port: 0, ...config.http_server };
  writeFileSync(file, JSON.stringify({ ...config, http_server }, null, 2));
  const program = new Program("belfry", join(bench.build, "belfry"), ["--config", file]);
  const [, port] = await program.line(/ server listening .*\bport=(\d+)/);
  return { program, port: Number(port) };
}

async function request(hub, path, options) {
  const answer = await fetch(`http://127.0.0.1:${hub.port}${path}`, options);
  const text = await answer.text();
  if (answer.status !== 200) {
    throw new Error(`${path}: ${answer.status} ${text}`);
  }
  return text;
}

// A hub with http_api.key KEY.
export async function call(hub, method, body) {
  const headers = { "X-API-Key": KEY };
  const text = await request(hub, `/api/${method}`, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  });
  const { result } = JSON.parse(text);
  if (!result) {
    throw new Error(`${method}: ${text}`);
  }
  return result;
}

// A hub with prometheus.enabled.
export async function figures(hub) {
  return parseMetrics(await request(hub, "/metrics"));
}

export async function startUpstream(bench) {
  const path = join(bench.build, "belfry-upstream");
  const program = new Program("belfry-upstream", path, ["--port", "0"]);
  const [, port] = await program.line(/^listening http:\/\/127\.0\.0\.1:(\d+)/);
  return { program, port: Number(port) };
}
