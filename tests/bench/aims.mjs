// What the measures are to reach, and whether the results do. Each aim finds its figure (median,
// min, max) in the cases of one measure; nothing here is written by hand but the aim itself.

function find(cases, facts) {
  const fits = (one) => Object.entries(facts).every(([key, value]) => one[key] === value);
  const found = cases.find(fits);
  if (!found) {
    throw new Error(`no case has ${JSON.stringify(facts)}`);
  }
  return found;
}

// The figure of the case with these facts.
function figure(facts, key) {
  return (cases) => find(cases, facts).values[key];
}

function map({ median, min, max }, change) {
  const [a, b] = [change(min), change(max)];
  return { median: change(median), min: Math.min(a, b), max: Math.max(a, b) };
}

// The ratio to belfry, turned round.
function inverse(facts, key) {
  return (cases) => map(find(cases, facts).values[key], (number) => 1 / number);
}

// Of belfry and the best of others. The spread is that of the two, not of single repeats.
function ofBest(facts, others, key) {
  return (cases) => {
    const own = find(cases, { ...facts, system: "belfry" }).values[key];
    const all = others.map((system) => find(cases, { ...facts, system }).values[key]);
    const best = all.reduce((a, b) => (b.median < a.median ? b : a));
    return {
      median: own.median / best.median,
      min: own.min / best.max,
      max: own.max / best.min,
    };
  };
}

const atMost = (limit) => ({
  words: `at most ${limit.toLocaleString("en")}`,
  holds: (n) => n <= limit,
});
const atLeast = (limit) => ({
  words: `at least ${limit.toLocaleString("en")}`,
  holds: (n) => n >= limit,
});
const below = (limit) => ({
  words: `below ${limit.toLocaleString("en")}`,
  holds: (n) => n < limit,
});

const BELFRY = { system: "belfry" };
const SMALL = { clients: 10_000, size: 64 };
const distinct = (system) => ({ system, callers: 64, numbers: 256, count: 20 });
const AT_ONCE = { ...BELFRY, callers: 64, delay: 0 };

const publish = (how, channels) => ({ case: `belfry, ${how}, ${channels}` });

// measure: the module; what and unit: for the table.
const AIMS = [
  {
    measure: "memory",
    what: "memory of an idle client",
    unit: "bytes",
    ...{ limit: atMost(2048), digits: 0, of: figure(BELFRY, "slope") },
  },
  {
    measure: "memory",
    what: "the same, as a share of Nchan's",
    ...{ limit: atMost(0.2), digits: 2, of: inverse({ system: "nchan" }, "ofBelfry") },
  },
  {
    measure: "memory",
    what: "the same, as a share of NATS's",
    ...{ limit: atMost(0.1), digits: 2, of: inverse({ system: "nats" }, "ofBelfry") },
  },
  {
    measure: "idle",
    what: "CPU of 10,000 idle clients",
    unit: "% of a core",
    ...{ limit: below(0.5), digits: 2, of: figure(BELFRY, "percent") },
  },
  {
    measure: "connect",
    what: "CPU of a connect at 18,000 clients",
    unit: "us",
    ...{ limit: atMost(70), digits: 1, of: figure(BELFRY, "late") },
  },
  {
    measure: "connect",
    what: "the same, as a share of that at 2,000 clients",
    ...{ limit: atMost(1.1), digits: 2, of: figure(BELFRY, "flat") },
  },
  {
    measure: "broadcast",
    what: "CPU per message of 64 B to 10,000 clients, as a share of the floor's",
    ...{ limit: atMost(1.15), digits: 2, of: figure({ ...BELFRY, ...SMALL }, "ofFloor") },
  },
  {
    measure: "broadcast",
    what: "the same, as a share of the best of Nchan, ws, Socket.IO and NATS",
    ...{
      limit: below(1),
      digits: 2,
      of: ofBest(SMALL, ["nchan", "ws", "socketio", "nats"], "cpu"),
    },
  },
  {
    measure: "burst",
    what: "messages per second in a burst, as a multiple of the floor's",
    ...{ limit: atLeast(5), digits: 2, of: figure(BELFRY, "ofFloor") },
  },
  {
    measure: "latency",
    what: "p50 of a publication beside 10,000 idle clients, as a share of that beside 10",
    ...{ limit: atMost(1.2), digits: 2, of: figure(BELFRY, "ratio") },
  },
  {
    measure: "giant",
    what: "small channels beside giant broadcasts, p99",
    unit: "ms",
    ...{ limit: below(10), digits: 2, of: figure(BELFRY, "p99") },
  },
  {
    measure: "fanout",
    what: "answers per second, 64 callers of the same feed, 1 upstream that answers at once",
    ...{ limit: atLeast(20_000), digits: 0, of: figure({ ...AT_ONCE, count: 1 }, "rate") },
  },
  {
    measure: "fanout",
    what: "the same with 20 upstreams",
    ...{ limit: atLeast(20_000), digits: 0, of: figure({ ...AT_ONCE, count: 20 }, "rate") },
  },
  {
    measure: "fanout",
    what: "64 callers, 20 upstreams each, all distinct parameters: of nginx with Lua",
    ...{ limit: atLeast(1), digits: 2, of: inverse(distinct("nginx-lua"), "ofBelfry") },
  },
  {
    measure: "fanout",
    what: "the same, of Node.js",
    ...{ limit: atLeast(2), digits: 2, of: inverse(distinct("node"), "ofBelfry") },
  },
  {
    measure: "fanout",
    what: "the same, of Tornado",
    ...{ limit: atLeast(10), digits: 2, of: inverse(distinct("tornado"), "ofBelfry") },
  },
  {
    measure: "refresh",
    what: "refresh of 20 upstreams of 10 ms, p50",
    unit: "ms",
    ...{ limit: below(11.5), digits: 2, of: figure({ case: "20 upstreams, changed" }, "p50") },
  },
  ...["1 channel", "1000 channels"].flatMap((channels) => [
    {
      measure: "publish",
      what: `publishes with \`normal\`, as a share of those without history, ${channels}`,
      ...{ limit: atLeast(0.8), digits: 2, of: figure(publish("normal", channels), "ofNone") },
    },
    {
      measure: "publish",
      what: `publishes with \`full\`, as a share of those without history, ${channels}`,
      ...{ limit: atLeast(0.5), digits: 2, of: figure(publish("full", channels), "ofNone") },
    },
    {
      measure: "publish",
      what: `loop lag p99 while publishing with \`normal\`, ${channels}`,
      unit: "ms",
      ...{ limit: below(5), digits: 2, of: figure(publish("normal", channels), "lag") },
    },
  ]),
  {
    measure: "recover",
    what: "reads of the storage for 10,000 recoveries after a kill",
    ...{
      limit: atMost(1),
      digits: 0,
      of: figure({ case: "the hub was killed and started again" }, "reads"),
    },
  },
];

// By the median; the spread tells how sure that is.
function verdict({ median, min, max }, { holds }) {
  const always = holds(min) && holds(max);
  const ever = holds(min) || holds(max);
  if (holds(median)) {
    return always ? "yes" : "yes, but not in every run";
  }
  return ever ? "no, only in some runs" : "no";
}

// measures: by name, each with its cases. One row for each aim: what, aim, reached (null where it
// was not measured), digits, met.
export function aims(measures) {
  return AIMS.map(({ measure, what, unit, limit, digits, of }) => {
    const cases = measures.get(measure)?.cases;
    const reached = cases ? of(cases) : null;
    const aim = unit ? `${limit.words} ${unit}` : limit.words;
    return { what, aim, reached, digits, met: reached ? verdict(reached, limit) : "not measured" };
  });
}
