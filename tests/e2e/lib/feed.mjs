// A hub with feeds, and what it says of their upstreams.
//
//   const hub = await startFeedHub(t, feedOf({ name: url or { url, ... } }, { ...more of the feed }), { config, env });
//       one feed or a list; deadlines are long unless the test is about them
//   const { data, upstreams } = await refresh(hub, { n: '1' });    // feed_refresh of 'feed'
//   await upstreamOf(hub, 'one')                    what `feeds` says of the feed's upstream
//   await upstreamWhen(hub, 'one', one => ...)      as soon as it satisfies
//   await figures(hub, 'one')                       name => the value of belfry_upstream_NAME
import { parseMetrics } from './prometheus.mjs';
import { startHub } from './hub.mjs';
import { within } from './process.mjs';

export const namespaces = [{ name: 'live' }];

export const feedOf = (upstreams, more = {}) => ({
  name: 'feed', channel: 'live:feed', ...more,
  upstreams: Object.entries(upstreams).map(([name, what]) => ({ name, ...(typeof what === 'string' ? { url: what } : what) })),
});

/** The same for each n: instances of a feed have their runs, and the upstreams, in common. */
export const numbered = (upstreams, more = {}) => feedOf(upstreams, { channel: 'live:{n}', params: { n: '[0-9]+' }, ...more });

export function startFeedHub(t, feeds, { config = {}, ...options } = {}) {
  const list = [feeds].flat().map(feed => ({ timeout: '60s', ...feed }));
  return startHub(t, { config: { prometheus: { enabled: true }, channel: { namespaces }, feeds: list, ...config }, ...options });
}

export const refresh = (hub, params, feed = 'feed') => hub.call('feed_refresh', { feed, params });

export async function upstreamOf(hub, name, feed = 'feed') {
  const { feeds } = await hub.call('feeds');
  return feeds.find(one => one.name === feed).upstreams.find(one => one.name === name);
}

export function upstreamWhen(hub, name, satisfies) {
  const ask = async () => {
    for (;;) {
      const upstream = await upstreamOf(hub, name);
      if (satisfies(upstream)) return upstream;
    }
  };
  return within(ask(), `the awaited state of the upstream ${name}`);
}

export async function figures(hub, upstream, feed = 'feed') {
  const metrics = parseMetrics((await hub.request('GET', '/metrics')).text);
  return (name, labels = {}) => metrics.get(`belfry_upstream_${name}`, { feed, upstream, ...labels });
}
