// Connection tokens (JWT) made by hand, good and bad ones.
//
//   makeToken({ sub: '42', exp: secondsFromNow(60) })              HS256 with SECRET
//   makeToken('{"sub":"42","info":{"n":1.10}}')                    claims as text are signed as they are
//   makeToken(claims, { secret, alg: 'HS512' })                    alg 'none': without a signature
import { createHmac } from 'node:crypto';

export const SECRET = 'a-secret-of-the-tests-that-is-long-enough';

const HASHES = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' };

export function secondsFromNow(seconds) {
  return Math.floor(Date.now() / 1000) + seconds;
}

export function makeToken(claims, { secret = SECRET, alg = 'HS256' } = {}) {
  const text = typeof claims === 'string' ? claims : JSON.stringify(claims);
  const signed = [JSON.stringify({ alg, typ: 'JWT' }), text].map(part => Buffer.from(part).toString('base64url')).join('.');
  if (alg === 'none') return `${signed}.`;
  return `${signed}.${createHmac(HASHES[alg], secret).update(signed).digest('base64url')}`;
}
