// How the servers of the other systems are asked: GET /feed?u=COUNT&l=MILLISECONDS&k=KEY gathers
// from COUNT upstreams that take so long.
export function feedOptions({ count, delay }) {
  const path = `/feed?u=${count}&l=${delay}&k={n}`;
  return ["--path", path, "--expect", `"u${count}":`];
}
