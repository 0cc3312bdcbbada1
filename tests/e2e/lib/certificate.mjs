// A certificate of the test's own for 127.0.0.1, that signs itself, made by the command openssl.
//
//   const { certFile, keyFile, ca } = await makeCertificate(dir);       // ca: its text, for who shall trust it
//   await makeCertificate(dir, { name: 'other', algorithm: 'rsa:2048' })  // files other.pem and other.key
//   tlsConfig(certificate)                                              // the configuration of a hub with it
//   await openssl('rsa', '-in', ...)                                    // any other command of it
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const openssl = (...args) => run('openssl', args);

export async function makeCertificate(dir, { name = 'hub', algorithm = 'ec' } = {}) {
  const certFile = join(dir, `${name}.pem`);
  const keyFile = join(dir, `${name}.key`);
  const curve = algorithm === 'ec' ? ['-pkeyopt', 'ec_paramgen_curve:P-256'] : [];
  await openssl('req', '-x509', '-newkey', algorithm, ...curve, '-nodes', '-keyout', keyFile, '-out', certFile,
    '-days', '2', '-subj', '/CN=Belfry test', '-addext', 'subjectAltName=IP:127.0.0.1');
  return { certFile, keyFile, ca: await readFile(certFile, 'utf8') };
}

export function tlsConfig({ certFile, keyFile }) {
  return { http_server: { tls: { enabled: true, cert_pem_file: certFile, key_pem_file: keyFile } } };
}
