// The hub. options, beside those of every system: history, the namespace's options; durability, of
// the storage; queueBytes, what may wait for a slow client.
import { mkdtempSync } from "node:fs";
import { join } from "node:path";

import { figures, KEY, startHub } from "../belfry.mjs";
import { certificate } from "../certificate.mjs";

export const name = "belfry";
export const title = "belfry";
export const can = { pings: true, tls: true };

function tlsConfig(directory) {
  const { cert, key } = certificate(directory);
  return { enabled: true, cert_pem_file: cert, key_pem_file: key };
}

function config(directory, options) {
  const { history, durability = "memory", pingSeconds = 25, queueBytes, tls } = options;
  return {
    http_server: { ...(tls && { tls: tlsConfig(directory) }) },
    http_api: { key: KEY },
    prometheus: { enabled: true },
    client: {
      insecure: true,
      connection_limit: 0,
      ping_interval: `${pingSeconds}s`,
      pong_timeout: `${Math.min(8, pingSeconds - 1)}s`,
      ...(queueBytes && { queue_max_size: queueBytes }),
    },
    channel: { namespaces: [{ name: "bench", ...history }] },
    storage: { path: join(directory, "belfry.sqlite"), durability },
  };
}

export async function start(bench, options) {
  const directory = mkdtempSync(join(bench.directory, "belfry-"));
  const { program, port } = await startHub({ ...bench, directory }, config(directory, options));
  const hub = { program, port };
  return {
    ...hub,
    protocol: "belfry",
    path: "/connection/websocket",
    publishPath: "/api/publish",
    key: KEY,
    tls: options.tls,
    pids: () => [program.pid],
    figures: () => figures(hub),
    stop: () => program.terminate(),
  };
}
