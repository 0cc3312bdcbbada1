// A resolver of the test's own for a hub, by LD_PRELOAD: names without a server, and names that take their time.
//
//   const hub = await startHub(t, { config, env: slowDns({ map: { 'api.test': '127.0.0.1' } }) });
//   slowDns({ ms: 500 })                      'anything.slow.test' takes 500 ms (otherwise 3 s), then there is no such name;
//                                             'anything.again.slow.test' then fails for the time being
//   slowDns({ map: { 'api.test': ['192.0.2.1', '127.0.0.1'] } })   the first question gets the first address, all later ones the last
//   slowDns({ log: '/path' })                 a file that gets a line with each name as it is asked for
import { fileURLToPath } from 'node:url';

const LIB = process.env.BELFRY_SLOW_DNS_LIB ?? fileURLToPath(new URL('../../../build/release/tests/slow_dns/libslow_dns.so', import.meta.url));

export function slowDns({ ms, map = {}, log } = {}) {
  const entries = Object.entries(map).map(([name, addresses]) => `${name}=${[addresses].flat().join('|')}`);
  return {
    LD_PRELOAD: LIB,
    // The library comes before a sanitizer's own, which then would not start.
    ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'verify_asan_link_order=0'].filter(Boolean).join(':'),
    SLOW_DNS_MAP: entries.join(','),
    ...(ms === undefined ? {} : { SLOW_DNS_MS: String(ms) }),
    ...(log === undefined ? {} : { SLOW_DNS_LOG: log }),
  };
}
