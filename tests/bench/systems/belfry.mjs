// The hub. options, beside those of every system: history, the namespace's options; durability, of
// the storage; queueBytes, what may wait for a slow client; tokens, how many clients can come, each with a token
// of its own (a user's, that ends in an hour), into a namespace with presence.
import { createHmac } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
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

const SECRET = "a secret for the benchmark";

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

function token(index, exp) {
  const claims = { sub: `user-${index}`, exp, info: { name: `User ${index}` } };
  const signed = `${base64url({ alg: "HS256", typ: "JWT" })}.${base64url(claims)}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

// The file with n tokens, one per line.
function tokenFile(directory, n) {
  const path = join(directory, "tokens");
  const exp = Math.floor(Date.now() / 1000) + 3600;
  writeFileSync(path, Array.from({ length: n }, (_, index) => token(index, exp)).join("\n"));
  return path;
}

function config(directory, options) {
  const { history, durability = "memory", pingSeconds = 25, queueBytes, tls, tokens } = options;
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
      ...(tokens && { token: { hmac_secret_key: SECRET } }),
    },
    channel: { namespaces: [{ name: "bench", ...(tokens && { presence: true }), ...history }] },
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
    tokens: options.tokens && tokenFile(directory, options.tokens),
    pids: () => [program.pid],
    figures: () => figures(hub),
    stop: () => program.terminate(),
  };
}
