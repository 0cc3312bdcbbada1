// Certificates of the test's own for 127.0.0.1, that sign themselves or are signed by an authority, made by the command openssl.
//
//   const { certFile, keyFile, ca } = await makeCertificate(dir);       // ca: its text, for who shall trust it
//   await makeCertificate(dir, { name: 'other', algorithm: 'rsa:2048' })  // files other.pem and other.key
//   await makeCertificate(dir, { name: 'site', issuer: authority, host: 'DNS:site.test' })    // signed by another one
//   await makeExpired(dir, { name: 'old', issuer: authority })           // the same, for a day of the year 2020
//   tlsConfig(certificate)                                              // the configuration of a hub with it
//   await openssl('rsa', '-in', ...)                                    // any other command of it
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const openssl = (...args) => run('openssl', args);

export async function makeCertificate(dir, { name = 'hub', algorithm = 'ec', host = 'IP:127.0.0.1', issuer } = {}) {
  const certFile = join(dir, `${name}.pem`);
  const keyFile = join(dir, `${name}.key`);
  const curve = algorithm === 'ec' ? ['-pkeyopt', 'ec_paramgen_curve:P-256'] : [];
  const signed = issuer ? ['-CA', issuer.certFile, '-CAkey', issuer.keyFile, '-addext', 'basicConstraints=critical,CA:FALSE'] : [];
  await openssl('req', '-x509', '-newkey', algorithm, ...curve, '-nodes', '-keyout', keyFile, '-out', certFile,
    '-days', '2', '-subj', `/CN=Belfry test ${name}`, '-addext', `subjectAltName=${host}`, ...signed);
  return { certFile, keyFile, ca: await readFile(certFile, 'utf8') };
}

// Only the command `ca` makes a certificate of the past, and that one wants a folder for its notes.
export async function makeExpired(dir, { name, issuer }) {
  const place = join(dir, `${name}.ca`);
  const [config, request] = [join(place, 'config'), join(place, 'request.pem')];
  const certFile = join(dir, `${name}.pem`);
  const keyFile = join(dir, `${name}.key`);
  await mkdir(place);
  await writeFile(join(place, 'index'), '');
  await writeFile(config, `[ca]\ndefault_ca=a\n[a]\ndatabase=${place}/index\nnew_certs_dir=${place}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n`
    + '[p]\ncommonName=supplied\n[e]\nsubjectAltName=IP:127.0.0.1\n');
  await openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile, '-out', request, '-subj', `/CN=Belfry test ${name}`);
  await openssl('ca', '-batch', '-notext', '-config', config, '-cert', issuer.certFile, '-keyfile', issuer.keyFile, '-in', request, '-out', certFile,
    '-startdate', '20200101000000Z', '-enddate', '20200102000000Z');
  return { certFile, keyFile, ca: await readFile(certFile, 'utf8') };
}

export function tlsConfig({ certFile, keyFile }) {
  return { http_server: { tls: { enabled: true, cert_pem_file: certFile, key_pem_file: keyFile } } };
}
