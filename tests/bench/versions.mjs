// Which versions of the other systems are measured.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

const PACKAGES = [
  ...["nginx-light", "libnginx-mod-nchan", "libnginx-mod-http-lua"],
  ...["nats-server", "redis-server", "python3-tornado", "python3-pycurl"],
];

// Of those that are installed.
function ofDebian() {
  const format = ["-W", "-f", "${db:Status-Status} ${Package} ${Version}\\n"];
  const { stdout } = spawnSync("dpkg-query", [...format, ...PACKAGES], { encoding: "utf8" });
  return [...(stdout ?? "").matchAll(/^installed (.+)$/gm)].map(([, text]) => text);
}

function ofNpm() {
  const { dependencies } = JSON.parse(readFileSync(new URL("package.json", import.meta.url)));
  return Object.entries(dependencies).map((entry) => entry.join(" "));
}

export function versions() {
  const node = `Node.js ${process.versions.node}`;
  return [...ofDebian(), node, ...ofNpm()].join(", ");
}
