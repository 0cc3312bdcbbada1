// Connection and subscription tokens (JWT) made by hand, good and bad ones.
//
//   makeToken({ sub: '42', exp: secondsFromNow(60) })              HS256 with SECRET
//   makeToken('{"sub":"42","info":{"n":1.10}}')                    claims as text are signed as they are
//   makeToken(claims, { secret, alg: 'HS512' })                    alg 'none': without a signature
//   makeToken(claims, { alg: 'RS256', key: privateKey, kid: 'a' }) RS..., ES..., EdDSA: a KeyObject
//   const { publicKey, privateKey, pem } = newKeys('ES256')        keys for that algorithm; pem: of the public one
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';

export const SECRET = 'a-secret-of-the-tests-that-is-long-enough';

const HASHES = { 256: 'sha256', 384: 'sha384', 512: 'sha512' };
const CURVES = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

export function secondsFromNow(seconds) {
  return Math.floor(Date.now() / 1000) + seconds;
}

export function newKeys(alg) {
  const pair = CURVES[alg] ? generateKeyPairSync('ec', { namedCurve: CURVES[alg] })
    : alg === 'EdDSA' ? generateKeyPairSync('ed25519')
    : generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...pair, pem: pair.publicKey.export({ type: 'spki', format: 'pem' }) };
}

function signatureOf(text, alg, { secret, key }) {
  const hash = HASHES[alg.slice(2)];
  if (alg === 'none') return '';
  if (alg.startsWith('HS')) return createHmac(hash, secret).update(text).digest('base64url');
  return sign(hash, text, { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
}

export function makeToken(claims, { secret = SECRET, alg = 'HS256', key, kid, header = {} } = {}) {
  const text = typeof claims === 'string' ? claims : JSON.stringify(claims);
  const signed = [JSON.stringify({ alg, typ: 'JWT', kid, ...header }), text].map(part => Buffer.from(part).toString('base64url')).join('.');
  return `${signed}.${signatureOf(signed, alg, { secret, key })}`;
}
