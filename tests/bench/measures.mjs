// The measures in the order of running and of the document: modules in measures/.
export const MEASURES = [
  ...["memory", "idle", "connect", "broadcast", "burst", "channels", "latency", "slow", "giant"],
  ...["fanout", "refresh", "start", "publish", "recover", "delta", "scrape"],
];
