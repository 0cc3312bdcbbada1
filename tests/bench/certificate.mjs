// A certificate for this machine that nobody else trusts.
import { execFileSync } from "node:child_process";
import { join } from "node:path";

export function certificate(directory) {
  const cert = join(directory, "cert.pem");
  const key = join(directory, "key.pem");
  const options = [
    ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"],
    ...["-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert],
  ];
  execFileSync("openssl", ["req", "-x509", ...options], { stdio: "pipe" });
  return { cert, key };
}
